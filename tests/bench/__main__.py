"""``python -m tests.bench``: what a run costs, measured on simulated Macs.

noop          a converged fleet: time, SSH sessions, bytes and memory of runs that change nothing
restart       the gateway, restarted for a reason each time: how long nobody answers, how long bare
proxies       requests to Ollama that reach a proxy set in every place, by policy (real OpenClaw)
distribution  one download for the fleet against one for each Mac, through one shared line
"""

from __future__ import annotations

import argparse
import sys

from tests.bench import distribution, noop, proxies, restart


def main(argv: list[str]) -> int:
    """The command line; 1 when a fleet did not converge, a gateway was not well again, or an aim
    was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("noop")
    verb.add_argument("--macs", type=int, nargs="+", default=[1, 4, 8], metavar="N")
    verb.add_argument("--rtt", type=float, nargs="+", default=[0, 20], metavar="MS")
    verb.add_argument("--runs", type=int, default=3, help="of each kind; medians are shown (3)")
    verb.add_argument("--openclaw", default="2026.2.17", metavar="VERSION")
    verb.add_argument("--dir", help="the lab's folder (default: a temporary one)")
    verb = verbs.add_parser("restart")
    verb.add_argument("--times", type=int, default=50, help="restarts (50)")
    verb.add_argument("--openclaw", default="2026.2.17", metavar="VERSION")
    verb.add_argument("--dir", help="the lab's folder (default: a temporary one)")
    verb = verbs.add_parser("proxies")
    verb.add_argument("--turns", type=int, default=100, help="on each Mac (100)")
    verb.add_argument("--openclaw", nargs="+", default=["2026.2.17", "2026.9.6"], metavar="VERSION")
    verb = verbs.add_parser("distribution")
    verb.add_argument("--macs", type=int, nargs="+", default=[1, 4, 8], metavar="N")
    verb.add_argument("--size", type=float, default=206, metavar="MB", help="of the models (206)")
    verb.add_argument("--rate", type=float, default=20, metavar="MB/S", help="of the line (20)")
    verb.add_argument("--dir", help="the lab's folder (default: a temporary one)")
    wish = parser.parse_args(argv)
    if wish.verb == "restart":
        return restart.main(wish.times, version=wish.openclaw, folder=wish.dir)
    if wish.verb == "proxies":
        return proxies.main(wish.openclaw, wish.turns)
    if wish.verb == "distribution":
        return distribution.main(wish.macs, size=wish.size, rate=wish.rate, folder=wish.dir)
    return noop.main(wish.macs, wish.rtt, wish.runs, version=wish.openclaw, folder=wish.dir)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
