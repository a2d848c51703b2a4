"""``open -a APP``: starts an app's main program in the session of the user at the screen."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys

from tests.lab.standins.here import complain, mac
from tests.lab.standins.stat_file import console_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

_USAGE = "Usage: open [-e] [-t] [-f] [-W] [-R] [-n] [-g] [-h] [-s <partial SDK name>]"
_USAGE += "[-b <bundle identifier>] [-a <application>] [-u URL] [filenames] [--args arguments]"


def bundle(spec: MacSpec, name: str) -> str | None:
    """Path of the app of that name or path, None when there is none."""
    stem = os.path.basename(name.rstrip("/")).removesuffix(".app")
    places = (
        [name] if "/" in name else [f"{spec.applications}/{stem}.app", f"/Applications/{stem}.app"]
    )
    return next((place for place in places if os.path.isdir(f"{place}/Contents")), None)


def program(path: str) -> str:
    """The app's executable, as its Info.plist or its name says."""
    name = os.path.basename(path).removesuffix(".app")
    try:
        with open(f"{path}/Contents/Info.plist", "rb") as file:
            name = plistlib.load(file).get("CFBundleExecutable", name)
    except FileNotFoundError:
        pass
    return f"{path}/Contents/MacOS/{name}"


def start(spec: MacSpec, path: str, arguments: list[str]) -> int:
    """Let launchd run the app in the gui domain; 0 also when it runs already."""
    stem = os.path.basename(path).removesuffix(".app").lower()
    label = f"application.{stem}.lab"
    job = {"Label": label, "ProgramArguments": [program(path), *arguments], "RunAtLoad": True}
    plist = f"{spec.state}/{label}.plist"
    launchctl, target = f"{spec.bin}/launchctl", f"gui/{spec.uid}"
    loaded = subprocess.run(
        [launchctl, "print", f"{target}/{label}"], capture_output=True, check=False
    )
    if loaded.returncode == 0:
        if b"state = running" in loaded.stdout:
            return 0
        return subprocess.run([launchctl, "kickstart", f"{target}/{label}"], check=False).returncode
    with open(plist, "wb") as file:
        plistlib.dump(job, file)
    os.chmod(plist, 0o644)
    done = subprocess.run([launchctl, "bootstrap", target, plist], capture_output=True, check=False)
    return 1 if done.returncode else 0


def main(argv: list[str]) -> int:
    """Exit code 1 when the app cannot be found or nobody is logged in at the screen."""
    words, name, arguments, plain = list(argv), "", list[str](), list[str]()
    while words:
        word = words.pop(0)
        if word == "--args":
            arguments = words
            break
        if word.startswith("-") and len(word) > 1:
            if "a" in word[1:] and words:
                name = words.pop(0)
            continue
        plain.append(word)
    if not name and plain and plain[0].endswith(".app"):
        name = plain[0]
    if not name:
        complain(_USAGE)
        return 1
    spec = mac()
    path = bundle(spec, name)
    if path is None:
        complain(f"Unable to find application named '{name}'")
        return 1
    if console_owner(spec) != spec.uid or start(spec, path, arguments):
        complain(
            f"The application {path} cannot be opened for an unexpected reason, error=Error Domain="
            'NSOSStatusErrorDomain Code=-10810 "kLSUnknownErr: Unexpected internal error"'
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
