"""What Homebrew's node formulae hold on a simulated Mac: the cached real Node, told it is on macOS.

``<keg>/bin/node`` is a small shell file that starts the Node of the cache with the shim
(``tests/lab/shim/darwin.cjs``). To the programs it runs, ``process.execPath`` is that shell file:
what OpenClaw writes into its LaunchAgent, and what it starts by itself, runs under the shim again.

A script whose second line starts with :data:`MARK` is the small stand-in of OpenClaw
(``openclaw_small.py``) and runs in Python; then no real Node need be in the cache.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import wrappers

if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

VERSIONS = {22: "22.23.3", 24: "24.21.0"}
"""What a Node answers to ``--version`` when the cache has none; the versions of the lock files."""
NPM_VERSIONS = {22: "10.9.8", 24: "11.12.1"}
MARK = "// clawfleet-lab-small "

_NODE = """\
#!/bin/sh
# Starts the lab's shared Node as if it were this Mac's own.
script=
for argument do
  case $argument in -*) ;; *) script=$argument; break ;; esac
done
mark=
[ -f "$script" ] && {{ read -r _; read -r mark; }} <"$script"
export {mac_variable}={mac_json} CLAWFLEET_LAB_NODE={self} CLAWFLEET_LAB_ARGV0={self}
case $mark in '{mark}'*)
  while [ "$1" != "$script" ]; do shift; done
  shift
  CLAWFLEET_LAB_ENTRY=$script PYTHONPATH={repo} \\
    exec {python} -S -P -m tests.lab.standins.openclaw_small "${{mark#'{mark}'}}" "$@" ;;
esac
if [ -x {node} ]; then
  export CLAWFLEET_LAB_NODE_OPTIONS="${{NODE_OPTIONS-}}"
  export NODE_OPTIONS="--require {shim}${{NODE_OPTIONS:+ $NODE_OPTIONS}}"
  exec {node} "$@"
fi
case "$*" in
  --version | -v) echo v{version} ;;
  '-p process.versions.node') echo {version} ;;
  *) echo "node: this simulated Mac has no real Node {major}: expected it at {node};" \\
      "run: python -m tests.lab.openclaw install" >&2; exit 1 ;;
esac
"""


def text(mac: MacSpec, keg: Path, major: int) -> str:
    """The shell file behind ``<keg>/bin/node``."""
    shim = f"{mac.repo}/tests/lab/shim/darwin.cjs"
    return _NODE.format(
        mac_variable="CLAWFLEET_LAB_MAC",
        mac_json=shlex.quote(f"{mac.state}/mac.json"),
        self=shlex.quote(f"{keg}/bin/node"),
        mark=MARK,
        repo=shlex.quote(mac.repo),
        python=shlex.quote(mac.python),
        node=shlex.quote(f"{mac.cache}/node/{major}/bin/node"),
        # NODE_OPTIONS has its own quoting, inside the double quotes of the shell.
        shim=f'\\"{shim}\\"' if " " in shim else shim,
        version=VERSIONS[major],
        major=major,
    )


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)


def install(mac: MacSpec, keg: Path, major: int) -> None:
    """Fill a keg such as ``/opt/homebrew/Cellar/node@22/22.23.3`` with node, npm and npx.

    ``keg`` is a path as seen from where this runs and from the Mac alike; ``major`` is 22 or 24.
    """
    _write(keg / "bin" / "node", text(mac, keg, major))
    npm = {
        "CLAWFLEET_LAB_KEG": str(keg),
        "CLAWFLEET_LAB_NPM": NPM_VERSIONS[major],
        "CLAWFLEET_LAB_NODE_VERSION": VERSIONS[major],
    }
    for name in ("npm", "npx"):
        _write(keg / "bin" / name, wrappers.text(mac, name, npm) if name == "npm" else _NPX)


_NPX = """\
#!/bin/sh
case $1 in
  --version | -v) exec "${0%/*}/npm" --version ;;
esac
echo "npx: this simulated Mac's npx only knows --version: expected npm install -g" >&2
exit 1
"""


def install_openclaw(mac: MacSpec, keg: Path, node_keg: Path, version: str) -> None:
    """Fill the keg of Homebrew's formula ``openclaw-cli``: its own copy, its own link to a Node."""
    from tests.lab.standins import npm

    npm.place(mac, keg / "libexec", version)
    entry = keg / "libexec" / "lib" / "node_modules" / "openclaw" / "openclaw.mjs"
    node = shlex.quote(f"{node_keg}/bin/node")
    path = f'PATH={shlex.quote(str(node_keg))}/bin:"$PATH"'
    _write(keg / "bin" / "openclaw", f'#!/bin/sh\n{path} exec {node} {entry} "$@"\n')
    os.unlink(keg / "libexec" / "bin" / "openclaw")
