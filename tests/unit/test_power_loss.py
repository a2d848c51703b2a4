"""Power lost at every command of the transaction: the next run finishes it, or undoes it.

The scripts run with stand-ins that keep launchd's state in files. Before each simple command the
whole home is copied: that is what a cut there would leave, as SIGKILL runs no trap. Each state
that differs, and each with the file just written torn off, is then given to the next run, with
a gateway that takes the new config and with one that refuses it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from clawfleet import commit, environment, gateway, wish
from clawfleet.operations.mac import ledger_change
from clawfleet.plan import FileChange
from clawfleet.snapshot import File, Job, Listener, Process, Snapshot
from tests.unit import shells
from tests.unit.factory import OLD, TEMPLATES, equipped, file, plist, settings

PORT = 18789
BASH = ("bash", "--posix")
SETTINGS = settings(gateway_start_timeout=8, gateway_settle=2)
REFUSED = "qwen3-coder"
"""A text that only the new openclaw.json holds."""
CONFIG, AUTH = ".openclaw/openclaw.json", ".openclaw/agents/main/agent/auth-profiles.json"
DOTENV, OWNED = ".openclaw/.env", ".clawfleet/owned.json"
AGENT = "Library/LaunchAgents/ai.openclaw.gateway.plist"
FILES = (CONFIG, AUTH, DOTENV, AGENT)
USERS = {
    CONFIG: b"""\
// two years of work\r
{ gateway: { mode: 'local', bind: 'loopback', port: 18789,
    auth: { mode: 'token', token: 'only-a-test-3c1f' } },
  models: { providers: { zai: { baseUrl: 'https://api.z.ai/v4', api: 'openai-completions',
    apiKey: '${ZAI_API_KEY}', models: [{ id: 'glm-4.5-air', name: 'Air' }] } } },
  agents: { defaults: { model: { primary: 'zai/glm-4.5-air' } } }, // the hard questions
  cron: { enabled: true }, bindings: [] }""",
    AUTH: b'{"version": 1, "profiles": {"zai:default": {"type": "token", "provider": "zai"}}}',
    DOTENV: b"# office\nHTTPS_PROXY=http://127.0.0.1:9\nA=1\n",
    AGENT: plist({"http_proxy": "http://127.0.0.1:9"}),
}

START = """if [ ! -s "$M/refuses" ] ||
  ! grep -q "$(cat "$M/refuses")" "$HOME/.openclaw/openclaw.json"
then ( cd "$HOME" && cat .openclaw/openclaw.json .openclaw/agents/main/agent/*.json \
  .openclaw/.env Library/LaunchAgents/*.plist ) > "$M/running"
  n=$(cat "$M/last" 2>/dev/null || echo 9000000); echo $((n+1)) > "$M/last"; cp "$M/last" "$M/pid"
fi"""
COMMANDS = {
    "launchctl": f"""M=$HOME/.machine
case $1 in
print) [ -e "$M/loaded" ] || exit 113
  if [ -e "$M/pid" ]; then
    printf '\\tstate = running\\n\\tpid = %s\\n\\truns = 1\\n' "$(cat "$M/pid")"
  else printf '\\tstate = spawn scheduled\\n\\tlast exit code = 1\\n'; fi;;
bootout) [ -e "$M/loaded" ] || exit 3
  rm -f "$M/loaded" "$M/pid" "$M/running";;
bootstrap) [ -e "$M/loaded" ] && exit 37
  : > "$M/loaded"; {START};;
power) rm -f "$M/pid" "$M/running"
  [ "$2" = again ] || [ ! -e "$HOME/{AGENT}" ] || : > "$M/loaded"
  [ ! -e "$M/loaded" ] || {{ {START}; }};;
kickstart) exit 37;;
esac""",
    "lsof": 'cat "$HOME/.machine/pid" 2>/dev/null',
    "ps": "case $* in *command*) echo openclaw-gateway;; *) echo 1;; esac",
    "curl": "case $* in *http_code*) printf 200;; esac",
    "openclaw": """case $* in "health "*) echo '{"ok": true}';; esac""",
    "sleep": ":",
    "sync": ":",
    # A Mac's own is a Perl script, and there are some thousand calls.
    "shasum": "command -v sha256sum >/dev/null && exec sha256sum; exec /usr/bin/shasum -a 256",
    # Each look at the clock takes a second.
    "date": 'n=$(cat "$HOME/.machine/clock" 2>/dev/null || echo 0); '
    'echo $((n+1)) > "$HOME/.machine/clock"; echo $n',
}
CAMERA = """set -T
__photo() {
  case $3 in ". /dev/stdin") return;; esac
  local IFS=' ' n
  read -r n < "$PHOTOS/count"; n=$((n + 1)); echo "$n" >| "$PHOTOS/count"
  cp -a "$HOME" "$PHOTOS/$n"
  printf '%s' "$1:$2 ${3%%<<*}" > "$PHOTOS/$n.at"
}
trap '__photo "${FUNCNAME[0]:-main}" "$LINENO" "$BASH_COMMAND"' DEBUG
. /dev/stdin
"""


@dataclass(frozen=True)
class State:
    """What a cut at one command leaves."""

    where: str
    files: dict[str, tuple[bytes, int]]
    """Content and mode, by path below the home; folders end in a slash."""
    whole: bool = True
    """Whether each file is as its command left it."""

    def key(self) -> str:
        """The same for two states that the next run cannot tell apart."""
        # Which pid it is makes no difference, and `running` says whether there is one.
        passing = {".machine/clock", ".machine/last", ".machine/pid", ".clawfleet/stopped-at"}
        passing |= {".clawfleet/started", ".clawfleet/started.new"}
        known = {p: c for p, c in self.files.items() if p not in passing}
        return hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()


def look(home: Path, where: str = "") -> State:
    found = {}
    for folder, folders, names in os.walk(home):
        for name in folders + names:
            path = Path(folder, name)
            mode = stat.S_IMODE(path.lstat().st_mode)
            below = str(path.relative_to(home))
            is_folder = name in folders
            found[below + "/" * is_folder] = (b"" if is_folder else path.read_bytes(), mode)
    return State(where, found)


def build(home: Path, state: State) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for below, (content, mode) in sorted(state.files.items()):
        path = home / below
        if below.endswith("/"):
            path.mkdir()
        else:
            path.write_bytes(content)
        path.chmod(mode)


def users(home: Path) -> State:
    """A Mac whose gateway runs with the user's own files."""
    shutil.rmtree(home, ignore_errors=True)
    for name, content in USERS.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
    (home / ".machine").mkdir()
    power(home, reboot=True)
    return look(home)


def power(home: Path, *, reboot: bool) -> None:
    """The power comes back: launchd goes on, or a reboot loads the agents that are there."""
    word = "reboot" if reboot else "again"
    shells.run(BASH, f"launchctl power {word}\n", home, commands=COMMANDS, check=True)


def seen(home: Path) -> Snapshot:
    """The Mac as the reading script would see it."""

    def there(name: str) -> File:
        path = home / name
        if not path.exists():
            return file(str(path))
        mode = f"{stat.S_IMODE(path.stat().st_mode):o}"
        return file(str(path), path.read_bytes(), mode=mode, mtime=0)

    def lines(name: str) -> tuple[str, ...]:
        return tuple((there(name).text or "").split("\n")[:-1])

    machine = home / ".machine"
    runs = (machine / "pid").exists()
    process = Process(9000001, 1, 4000, "openclaw-gateway")
    job = Job("running", 9000001, 1, "(never exited)", {}, {}) if runs else None
    if job is None and (machine / "loaded").exists():
        job = Job("spawn scheduled", None, 1, "1", {}, {})
    unfinished = lines(".clawfleet/unfinished")
    return replace(
        equipped(OLD),
        home=str(home),
        openclaw_bin=None,
        nodes=(),
        state_mode="700",
        config=there(CONFIG),
        auth=there(AUTH),
        dotenv=there(DOTENV),
        plist=there(AGENT),
        service_env=there(".openclaw/service-env/ai.openclaw.gateway.env"),
        owned=there(OWNED),
        unfinished=unfinished[0] if unfinished else None,
        restart_needed=lines(".clawfleet/restart-needed"),
        gateway=job,
        gateway_port=Listener(PORT, (process,) if runs else ()),
        gateway_http=200 if runs else 0,
    )


Run = Callable[[str], bool]


def deploy(home: Path, run: str, execute: Run) -> bool:
    """What the tasks config, environment and gateway do, up to the first script that fails."""
    evidence: list[str] = []

    def put(changes: list[FileChange], snapshot: Snapshot) -> bool:
        evidence.append("files were changed")
        text = commit.script(
            [*ledger_change(snapshot, changes), *changes],
            run=snapshot.unfinished or run,
            validate='[ -s "$CANDIDATE" ]',
            restart_reasons=["files were changed"],
            port=PORT,
            also=[there.path for there in snapshot.read_by_gateway],
        )
        return execute(text)

    snapshot = seen(home)
    if snapshot.unfinished:
        assert execute(commit.resume(snapshot.unfinished, PORT))
        snapshot = seen(home)
    wanted = wish.plan(snapshot, SETTINGS, TEMPLATES, lambda: "unused").files
    if wanted and not put(list(wanted), snapshot):
        return False
    snapshot = seen(home)
    clean = environment.plan(snapshot, SETTINGS).files
    if clean and not put(list(clean), snapshot):
        return False
    snapshot = seen(home)
    decision = gateway.decide(snapshot, SETTINGS, PORT, evidence)
    if decision.action == "none":
        return True
    step = gateway.step(snapshot, SETTINGS, PORT, decision, run=snapshot.unfinished or run)
    return execute(step.script)


def plainly(home: Path) -> Run:
    def execute(text: str) -> bool:
        return shells.run(BASH, text, home, commands=COMMANDS).returncode == 0

    return execute


def filmed(home: Path, photos: Path) -> Run:
    """Like `plainly`, with a copy of the home in `photos` before each command."""
    photos.mkdir()
    (photos / "count").write_text("0\n")
    camera = photos / "camera"
    camera.write_text(CAMERA)

    def execute(text: str) -> bool:
        shells.run(BASH, "", home, commands=COMMANDS)  # the stand-ins are there
        done = shells.run(
            ("bash", "--posix", str(camera)),
            text,
            home,
            commands=COMMANDS,
            PHOTOS=str(photos),
        )
        return done.returncode == 0

    return execute


def states(photos: Path) -> Iterator[State]:
    """All that a cut may leave: before each command, and with what it wrote torn off."""
    count = int((photos / "count").read_text())
    before: State | None = None
    for number in range(1, count + 1):
        state = look(photos / str(number), (photos / f"{number}.at").read_text())
        yield state
        if before is not None and not before.where.split(" ", 1)[1].startswith(("mv ", "rm ")):
            yield from torn(before, state)
        before = state


def torn(before: State, after: State) -> Iterator[State]:
    """The later state with a file that has just been written only in part."""
    for name, (content, mode) in after.files.items():
        old = before.files.get(name, (b"", 0))[0]
        if name.startswith(".machine") or content == old or not content:
            continue
        kept = len(old) if content.startswith(old) else 0
        half = (kept + len(content)) // 2
        files = after.files | {name: (content[:half], mode)}
        yield State(f"{before.where}, {name} torn at {half}", files, whole=False)


@dataclass(frozen=True)
class Ends:
    old: State
    new: State


RUNS = ("20261123-153000-1a2b", "20261123-154000-3c4d", "20261123-155000-5e6f")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("power")


@pytest.fixture(scope="module")
def ends(place: Path) -> Ends:
    """How it was, and how it is after a run that nothing disturbs."""
    home = place / "home"
    old = users(home)
    assert deploy(home, RUNS[0], plainly(home))
    new = look(home)
    for name in FILES:
        assert new.files[name] != old.files[name], name
    return Ends(old, new)


def assert_is(home: Path, wanted: State, where: str) -> None:
    """All files are those of that state, the gateway runs with them, and nothing lies about."""
    now = look(home)
    for name in (*FILES, OWNED):
        assert now.files.get(name) == wanted.files.get(name), f"{name} after a cut at {where}"
    assert now.files[".machine/running"][0] == b"".join(wanted.files[n][0] for n in FILES), where
    left = {n for n in now.files if not n.startswith((".clawfleet/backups/", ".machine"))}
    left -= {*FILES, OWNED, ".clawfleet/", ".clawfleet/started", ".clawfleet/started.json"}
    assert {name for name in left if not name.endswith("/")} == set(), where
    for name, (_, mode) in now.files.items():
        if name.startswith(".clawfleet/"):
            assert mode == (0o700 if name.endswith("/") else 0o600), f"{name} after {where}"


def kept(home: Path) -> dict[str, bytes]:
    """What the backups say each file was before; the oldest one that says it counts."""
    found: dict[str, bytes] = {}
    for manifest in sorted(home.glob(".clawfleet/backups/*/gateway/list")):
        for line in manifest.read_text().splitlines():
            exists, name, path = line.split("\t")
            content = (manifest.parent / name).read_bytes() if exists == "yes" else b""
            found.setdefault(str(Path(path).relative_to(home)), content)
    return found


def next_run(home: Path, state: State, *, refuses: bool, run: str) -> bool:
    build(home, state)
    (home / ".machine" / "refuses").write_text(REFUSED if refuses else "")
    return deploy(home, run, plainly(home))


def repaired_from_everywhere(place: Path, photos: Path, ends: Ends, run: str) -> tuple[int, int]:
    """How many points there were, and how many different states; each was repaired both ways."""
    home = place / "home"
    known: set[str] = set()
    for state in states(photos):
        for reboot in (False, True) if state.whole else (True,):
            build(home, state)
            power(home, reboot=reboot)
            back = replace(state, files=look(home).files)
            if back.key() not in known:
                known.add(back.key())
                is_repaired(home, back, ends, run)
    return int((photos / "count").read_text()), len(known)


def is_repaired(home: Path, state: State, ends: Ends, run: str) -> None:
    """The next run ends in the new state, or in the old one where the gateway refuses the new."""
    assert next_run(home, state, refuses=False, run=run), state.where
    assert_is(home, ends.new, state.where)
    assert kept(home) == {**USERS, OWNED: b""}, state.where
    if not state.whole:
        return
    began = ".clawfleet/unfinished" in state.files or state.files[CONFIG] == ends.old.files[CONFIG]
    if began:  # else it was over before the cut
        assert not next_run(home, state, refuses=True, run=run), state.where
        assert_is(home, ends.old, state.where)


def test_a_run_that_was_cut_off_anywhere(place: Path, ends: Ends) -> None:
    home, photos = place / "home", place / "photos"
    users(home)
    assert deploy(home, RUNS[0], filmed(home, photos))
    points, different = repaired_from_everywhere(place, photos, ends, RUNS[1])
    print(f"{points} points, {different} states")
    assert points > 150
    assert different > 40
