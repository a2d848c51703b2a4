"""``python -m tests.lab.internet --host H --port P --dir D``: serve until a signal comes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from tests.lab.internet.server import build
from tests.lab.standins.ollama_models import SCALE_ENV, scale


def main(argv: list[str]) -> int:
    """Print the address once it listens; exit code 0 after SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.internet", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--dir", type=Path, required=True, help="models, and static/ files if any")
    parser.add_argument(
        "--scale", type=float, default=scale(), help=f"factor for model sizes (or {SCALE_ENV})"
    )
    parser.add_argument(
        "--until-eof", action="store_true", help="end with whoever holds the other end of stdin"
    )
    options = parser.parse_args(argv)
    server = build(options.host, options.port, options.dir, options.scale)

    def stop(_number: int, _frame: object) -> None:
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"http://{options.host}:{server.server_address[1]}", flush=True)
    if options.until_eof:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
