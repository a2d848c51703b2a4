"""``python -m tests.lab``: simulated Macs on this machine.

up N                 start N Macs; returns when SSH answers on all of them
inventory            write hosts.yml for `pyinfra inventory.py ...` and print its path
run CMD...           run a command where the Macs can be reached
in MAC CMD...        run a command inside a Mac, as its user (--root: as root)
net MAC|all K=V...   change a link: rtt=MS rate=KBIT loss=PCT cut=0|1
status               everything about the running lab, as JSON
down                 end all of it
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from tests.lab.lab import Lab
from tests.lab.plan import LabError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m tests.lab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--dir", help="the lab's folder (default: CLAWFLEET_LAB_DIR or .lab)")
    verbs = top.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", parents=[shared])
    up.add_argument("n", type=int)
    up.add_argument("--level", choices=["auto", "namespaces", "ports"], default="auto")
    up.add_argument("--rtt", type=float, help="milliseconds added to a round trip")
    up.add_argument("--internet", action=argparse.BooleanOptionalAction, default=None)
    up.add_argument("--users-size", default="2g", help="size of the disk with /Users (2g)")
    for name in ("inventory", "status", "down"):
        verbs.add_parser(name, parents=[shared])
    run = verbs.add_parser("run", parents=[shared])
    inside = verbs.add_parser("in", parents=[shared])
    inside.add_argument("--root", action="store_true")
    inside.add_argument("mac")
    for verb in (run, inside):
        verb.add_argument("command", nargs=argparse.REMAINDER)
    net = verbs.add_parser("net", parents=[shared])
    net.add_argument("mac")
    net.add_argument("values", nargs="+", metavar="KEY=NUMBER")
    return top


def main(argv: list[str]) -> int:
    """Run one verb; its exit code."""
    wish = parser().parse_args(argv)
    try:
        return _act(wish)
    except (LabError, ValueError, RuntimeError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _act(wish: argparse.Namespace) -> int:
    if wish.verb == "up":
        return _up(wish)
    lab = Lab.attach(wish.dir)
    if wish.verb == "down":
        lab.down()
        return 0
    if not lab.alive():
        raise LabError(f"the lab in {lab.folder} has died; clean up with: python -m tests.lab down")
    if wish.verb == "inventory":
        print(lab.inventory())
    elif wish.verb == "status":
        print(json.dumps(lab.status(), indent=1))
    elif wish.verb == "net":
        lab.net(wish.mac, **{key: float(value) for key, _, value in _pairs(wish.values)})
    elif wish.verb == "run":
        return subprocess.run([*lab.network(), *_words(wish.command)], check=False).returncode
    else:
        if wish.mac not in lab.macs:
            raise LabError(f"no {wish.mac} in this lab, expected one of: {', '.join(lab.macs)}")
        mac = lab.macs[wish.mac]
        root = wish.root or wish.command[:1] == ["--root"]
        words = _words(wish.command[1:] if wish.command[:1] == ["--root"] else wish.command)
        command = words[0] if len(words) == 1 else words
        term = {"TERM": os.environ.get("TERM", "dumb")}
        argv = mac.command(command, user=not root, env=term)
        return subprocess.run(argv, check=False).returncode
    return 0


def _up(wish: argparse.Namespace) -> int:
    begin = time.monotonic()
    lab = Lab.up(
        wish.n,
        level=wish.level,
        rtt=wish.rtt,
        dir=wish.dir,
        internet=wish.internet,
        users_size=wish.users_size,
        linger=True,
    )
    took = time.monotonic() - begin
    print(f"{len(lab.macs)} Macs are up after {took:.1f} s, level {lab.level}: {lab.reason}")
    print(f"inventory: {lab.inventory()}")
    return 0


def _pairs(values: list[str]) -> list[tuple[str, str, str]]:
    pairs = [value.partition("=") for value in values]
    if bad := [key for key, sign, _ in pairs if not sign]:
        raise LabError(f"{bad[0]} is no KEY=NUMBER, expected such as rtt=20")
    return pairs


def _words(command: list[str]) -> list[str]:
    words = command[1:] if command[:1] == ["--"] else command
    if not words:
        raise LabError("no command given")
    return words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
