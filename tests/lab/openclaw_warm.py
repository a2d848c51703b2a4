"""What OpenClaw 2026.2.x compiles at its first start, done once for all simulated Macs.

That version compiles its TypeScript plugins while the gateway starts (with jiti, which keeps the
results in ``$TMPDIR/jiti``): 30 s and 1.6 GB at the first start, 3 s and 0.4 GB at any later one.
A Mac that has run OpenClaw before has the results; :func:`warm` collects them in the cache, and the
shim links them into the temporary folder of a new simulated Mac. 2026.9.x ships compiled plugins.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_NAME = re.compile(r"\.([0-9a-f]{8})\.[cm]js$")
ROOT = b"@CLAWFLEET_LAB_ROOT@"
PATIENCE = 300
"""Seconds after which a gateway that does not open its port is given up."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start_once(node: Path, package: Path, home: Path) -> None:
    port = _free_port()
    state = home / ".openclaw"
    state.mkdir(mode=0o700)
    gateway = {"mode": "local", "bind": "loopback", "port": port}
    auth = {"auth": {"mode": "token", "token": "warm"}}
    (state / "openclaw.json").write_text(json.dumps({"gateway": {**gateway, **auth}}))
    process = subprocess.Popen(
        [node, package / "openclaw.mjs", "gateway", "run"],
        env={"HOME": str(home), "TMPDIR": str(home), "PATH": f"{node.parent}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + PATIENCE
        while process.poll() is None and not _answers(port) and time.monotonic() < end:
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def warm(node: Path, root: Path) -> int:
    """Start the gateway of ``<root>/node_modules/openclaw`` once and keep what it compiled.

    Returns the number of files now in ``<root>/jiti``, each named in its ``index.json`` with its
    source below ``root``; those that carry a path of their own stand under ``rooted``, with
    :data:`ROOT` in its place. 0 where the version compiles nothing or the gateway did not start, in
    which case every Mac compiles for itself.
    """
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        _start_once(node, root / "node_modules" / "openclaw", home)
        compiled = list((home / "jiti").glob("*")) if (home / "jiti").is_dir() else []
        if not compiled:
            return 0
        sources = {
            hashlib.md5(str(path).encode(), usedforsecurity=False).hexdigest()[:8]: path
            for path in (root / "node_modules").rglob("*.[cmtj]*s")
        }
        linked: dict[str, str] = {}
        rooted: dict[str, str] = {}
        (root / "jiti").mkdir()
        for file in compiled:
            found = _NAME.search(file.name)
            source = sources.get(found[1]) if found else None
            if source is None:
                continue
            text = file.read_bytes()
            neutral = text.replace(str(root).encode(), ROOT)
            (rooted if neutral != text else linked)[file.name] = str(source.relative_to(root))
            (root / "jiti" / file.name).write_bytes(neutral)
        (root / "jiti" / "index.json").write_text(json.dumps({"linked": linked, "rooted": rooted}))
    return len(linked) + len(rooted)
