"""facts/mac.sh, run by dash and bash with stand-ins for a Mac's commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clawfleet.architecture import gptoss
from clawfleet.plan import DAEMONS, quote
from clawfleet.probe import parse
from clawfleet.snapshot import Process, Snapshot
from tests.unit.factory import REPO
from tests.unit.shells import HOSTILE_NAMES

SCRIPT = (REPO / "clawfleet" / "facts" / "mac.sh").read_text(encoding="utf-8")

COMMANDS = {
    "uname": 'echo "Darwin arm64"',
    "sw_vers": "echo 15.6",
    "id": "case $1 in -u) echo 501;; -un) echo mac;; esac",
    "sysctl": 'printf "hw.memsize: 34359738368\\nmachdep.cpu.brand_string: Apple M2 Pro\\n"\n'
    'printf "hw.optional.arm64: 1\\n"',
    "sudo": "exit 1",
    "launchctl": """case "$1 $2" in
  "print gui/501") printf 'gui/501 = {\\n\\tenvironment = {\\n\\t\\thttp_proxy => http://p\\n\\t}\\n}\\n';;
  "print gui/501/ai.openclaw.gateway") printf 'x = {\\n\\tstate = running\\n\\tpid = 900\\n}\\n';;
  "print-disabled gui/501") printf '\\t\\t"ai.openclaw.gateway" => disabled\\n';;
  *) echo "Bad request." >&2; exit 113;;
esac""",
    "lsof": 'case $* in *:11434*) printf "700\\n700\\n";; *:18789*) echo 900;; esac',
    "ps": """case $* in
  *eww*) echo "node gateway PATH=/bin http_proxy=http://u:pw@p NO_PROXY= HTTPS_PROXY=x a_proxys=1";;
  *) printf '  700 1 01:00 /opt/homebrew/opt/ollama/bin/ollama serve\\n'
     printf '  900 1 2-00:00:01 node dist/index.js gateway\\n';;
esac""",
    "curl": """case $* in
  *api/show*) cat "$HOME/shown"; printf '%s\\n' "$@" > "$HOME/asked";;
  *api/version*) printf '{"version":"0.32.3"}\\n{"models":[{"name":"a:latest","size":5}]}\\n';;
  *) printf '200\\n{"ok":true,"status":"live"}';;
esac""",
    "df": """printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\n'
printf '/dev/disk3s5 482797652 300000000 182797652 63%% /System/Volumes/Data\\n'""",
    "plutil": "echo 0.32.3",
    "pgrep": "exit 1",
}
REAL = [
    "base64",
    "cat",
    "cut",
    "date",
    "grep",
    "find",
    "head",
    "ls",
    "mkdir",
    "readlink",
    "sed",
    "sort",
    "stat",
    "tar",
    "tr",
]
SH = [pytest.param("dash", id="dash"), pytest.param("bash --posix", id="bash")]


@pytest.fixture
def mac(tmp_path: Path) -> Path:
    """A home with a blank in its name and a PATH of stand-ins in front of it."""
    home = tmp_path / "the home"
    home.mkdir()
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    for name in REAL:
        found = shutil.which(name)
        assert found, f"{name} is needed for this test"
        (folder / name).symlink_to(found)
    return home


def read(
    home: Path,
    shell: str,
    *,
    prefix: str = "",
    also: str = "",
    show: str = "",
    models: str = "",
    connection: str = "",
    services: str = "agents",
    daemons: Path | None = None,
) -> Snapshot:
    """`daemons` stands for launchd's folder."""
    words = shell.split()
    found = shutil.which(words[0])
    if found is None:
        pytest.skip(f"no {words[0]} on this machine")
    prelude = f"OLLAMA_PORT=11434\nGATEWAY_PORT=18789\nPREFIX={quote(prefix)}\nAGENT=main\n"
    prelude += f"SERVICES={services}\n"
    prelude += f"ALSO={quote(also)}\nSHOW={quote(show)}\nMODELS={quote(models)}\n"
    run = subprocess.run(
        [found, *words[1:], "-s"],
        input=prelude + SCRIPT.replace(DAEMONS, str(daemons or DAEMONS)),
        env={
            "HOME": str(home),
            "PATH": str(home.parent / "bin"),
            "TMPDIR": str(home.parent),
            "SSH_CONNECTION": connection,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    return parse(run.stdout, daemons=services == "daemons")


def command(home: Path, name: str, body: str) -> None:
    """Put another stand-in for a command on the PATH."""
    path = home.parent / "bin" / name
    # It may be a link to this machine's own command, which must not be written through.
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def write(home: Path, path: str, content: str = "", mode: int = 0o644) -> Path:
    file = home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("shell", SH)
def test_the_script_on_a_bare_mac(mac: Path, shell: str) -> None:
    before = sorted(mac.rglob("*"))
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert sorted(mac.rglob("*")) == before
    assert snapshot.kernel == "Darwin"
    assert (snapshot.macos, snapshot.arch, snapshot.chip) == ("15.6", "arm64", "Apple M2 Pro")
    assert (snapshot.user, snapshot.uid, snapshot.home) == ("mac", 501, str(mac))
    assert snapshot.memory == 32 * 1024**3
    assert snapshot.disk_free == 182797652 * 1024
    assert snapshot.gui
    assert snapshot.gui_environment == {"http_proxy": "http://p"}
    assert not snapshot.gateway_twin
    assert snapshot.gateway_override == "disabled"
    assert not snapshot.sudo_free
    assert snapshot.config.path == str(mac / ".openclaw" / "openclaw.json")
    assert not snapshot.config.exists
    assert not snapshot.plist.exists
    assert snapshot.restart_needed == ()


@pytest.mark.parametrize("shell", SH)
def test_a_list_of_models_that_is_none_of_ollamas(mac: Path, shell: str) -> None:
    answer = '{"models":[{"name":"a:latest","size":null},{"size":1},7]}'
    command(mac, "curl", f"printf '%s\\n' '{answer}'")
    assert [(model.name, model.size) for model in read(mac, shell).models] == [("a:latest", 0)]


@pytest.mark.parametrize("shell", SH)
def test_the_script_reads_listeners_without_the_values_of_variables(mac: Path, shell: str) -> None:
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.ollama_port.processes == (
        Process(700, 1, 60, "/opt/homebrew/opt/ollama/bin/ollama serve"),
    )
    assert snapshot.ollama_server == "0.32.3"
    assert [model.name for model in snapshot.models] == ["a:latest"]
    assert snapshot.gateway_port.pids == (900,)
    assert snapshot.gateway_port.processes[0].age == 2 * 86400 + 1
    assert snapshot.gateway_port.proxies == ("http_proxy", "HTTPS_PROXY")
    assert snapshot.gateway_no_proxy == {"NO_PROXY": ""}
    assert not snapshot.gateway_shown, "without HOME it was not the environment"
    assert "pw" not in repr(snapshot)
    assert snapshot.gateway is not None
    assert snapshot.gateway.pid == 900
    assert (snapshot.gateway_http, snapshot.gateway_live) == (200, True)


@pytest.mark.parametrize("shell", SH)
def test_the_script_reads_the_shapes_of_the_wanted_models(mac: Path, shell: str) -> None:
    """/api/show answers in one line, with a license and a template around what is of concern."""
    info = {"general.architecture": "gptoss", "gptoss.block_count": 24, "tokenizer.tokens": None}
    shown = {
        "license": 'as is, "model_info":{"not": "this"}\nmore lines',
        "details": {"family": "gptoss"},
        "model_info": info,
        "capabilities": ["completion"],
        "modified_at": "2026-11-28T00:00:00Z",
    }
    text = json.dumps(shown, separators=(",", ":"))
    write(mac, "shown", f'{text}\n=a:latest\n{{"error":"model \'b\' not found"}}\n=b\n')
    snapshot = read(mac, shell, prefix=str(mac / "nothing"), show="a:latest\nteam/b:1-x")
    assert [(model.name, model.architecture) for model in snapshot.models] == [
        ("a:latest", gptoss(24))
    ]
    asked = (mac / "asked").read_text()
    assert asked.startswith("-q\n-s\n")  # the user's own .curlrc is passed over
    assert '{"model":"a:latest"}\n' in asked
    assert "--next\n-s\n--noproxy\n*\n" in asked
    assert '\\n=team/b:1-x\\n\n-d\n{"model":"team/b:1-x"}\n' in asked


@pytest.mark.parametrize("shell", SH)
def test_the_script_reads_files(mac: Path, shell: str) -> None:
    config = "{ // 你好\r\n\tgateway: { auth: { token: 'a b' } }\r\n}"
    write(mac, ".openclaw/openclaw.json", "", 0o640).write_bytes(config.encode())
    write(mac, ".openclaw/.env", "A=1\n")
    write(mac, ".homebrew/services/ollama.env", "OLLAMA_HOST=x")
    write(mac, ".clawfleet/restart-needed", "first\nsecond\nfirst\n")
    write(mac, ".zshrc", "# http_proxy=no\nexport HTTP_PROXY=http://me:pw@p\n")
    write(mac, ".bashrc", "# http_proxy=no\nunset http_proxy\n")
    write(
        mac,
        ".zprofile",
        "case $TERM in *) launchctl setenv 'ALL_PROXY' http://me:pw@p;; esac\n"
        "off() { unset http_proxy; export https_proxy='' all_proxy=; }\n",
    )
    write(mac, ".zshenv", 'p=http://me:pw@p; export HTTPS_PROXY=$p http_proxy="$p"\n')
    write(mac, ".homebrew/brew.env", "https_proxy=http://me:pw@p\nall_proxy=\nNO_PROXY=x\n")
    write(mac, "Library/LaunchAgents/env.plist", "launchctl setenv http_proxy x HTTPS_PROXY x")
    write(mac, "Library/LaunchAgents/other.plist", "<key>HTTPS_PROXY</key><string>x</string>")
    (mac / ".openclaw" / "agents" / "main" / "agent").mkdir(parents=True)
    (mac / ".openclaw" / "agents" / "main" / "agent" / "auth-profiles.json").mkdir()
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.config.content == config.encode()
    assert snapshot.config.mode == "640"
    assert snapshot.dotenv.text == "A=1\n"
    assert snapshot.ollama_env.text == "OLLAMA_HOST=x"
    assert snapshot.auth.trouble == "not a regular file"
    assert snapshot.restart_needed == ("first", "second")
    assert snapshot.shell_proxies == ("~/.zshenv", "~/.zshrc")
    assert snapshot.shell_setenv == ("~/.zprofile",)
    assert snapshot.agent_proxies == ("~/Library/LaunchAgents/env.plist",)
    brew = str(mac / ".homebrew" / "brew.env")
    assert snapshot.brew_proxies == (brew,)
    assert snapshot.proxy_names == {
        "~/.zshenv": ("HTTPS_PROXY", "http_proxy"),
        "~/.zshrc": ("HTTP_PROXY",),
        "~/.zprofile": ("ALL_PROXY",),
        "~/Library/LaunchAgents/env.plist": ("HTTPS_PROXY", "http_proxy"),
        brew: ("https_proxy",),
    }
    assert "pw" not in repr(snapshot)


@pytest.mark.parametrize("shell", SH)
@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read(mac: Path, shell: str) -> None:
    write(mac, ".openclaw/openclaw.json", "{}", 0o000)
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.config.trouble == "not readable by this user"


@pytest.mark.parametrize("shell", SH)
def test_links_are_told(mac: Path, shell: str) -> None:
    elsewhere = write(mac, "dotfiles/openclaw.json", "{}")
    (mac / ".openclaw").mkdir()
    (mac / ".openclaw" / "openclaw.json").symlink_to(elsewhere)
    (mac / ".openclaw" / ".env").symlink_to(mac / "nowhere")
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.config.link == str(elsewhere)
    assert snapshot.config.content == b"{}"
    assert snapshot.dotenv.link == str(mac / "nowhere")
    assert not snapshot.dotenv.exists
    assert snapshot.state_link is None


@pytest.mark.parametrize("shell", SH)
def test_where_files_really_lie(mac: Path, shell: str) -> None:
    """Through links, which may stand for the whole ~/.openclaw or for any folder on the way."""
    elsewhere = mac.parent / "else where"
    (elsewhere / "agents").mkdir(parents=True)
    (elsewhere / "agents").chmod(0o777)
    state = mac / "dotfiles" / "openclaw"
    state.mkdir(parents=True, mode=0o700)
    (mac / ".openclaw").symlink_to("dotfiles/openclaw")
    (state / "agents").symlink_to(elsewhere / "agents")
    write(mac, "Library/LaunchAgents/ai.openclaw.gateway.plist", "<plist/>")
    write(mac, "dotfiles/real.env", "A=1\n")
    (state / ".env").symlink_to("../real.env")
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    home = str(mac.resolve())
    assert (snapshot.home_folder, snapshot.state_folder) == (home, str(state))
    assert snapshot.state_link == str(state)
    assert snapshot.config.folder == str(state)
    # agents/main/agent is not there yet
    assert snapshot.auth.folder == str(elsewhere / "agents")
    assert (snapshot.dotenv.folder, snapshot.dotenv.text) == (f"{home}/dotfiles", "A=1\n")
    assert snapshot.service_env.folder == str(state)
    assert snapshot.plist.folder == f"{home}/Library/LaunchAgents"
    assert snapshot.ollama_env.folder == home
    assert snapshot.folders.keys() >= {
        str(state),
        f"{home}/dotfiles",
        str(elsewhere / "agents"),
        f"{home}/Library/LaunchAgents",
        f"{home}/Library",
    }
    assert snapshot.folders[str(elsewhere / "agents")].mode == "777"
    assert snapshot.folders[str(state)].uid == os.getuid()
    assert snapshot.state_mode == "700"


@pytest.mark.parametrize("shell", SH)
def test_two_names_of_one_file_are_both_read(mac: Path, shell: str) -> None:
    first = write(mac, ".openclaw/.env", "A=1\n")
    second = mac / ".openclaw/service-env/ai.openclaw.gateway.env"
    second.parent.mkdir()
    second.hardlink_to(first)
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.dotenv.text == snapshot.service_env.text == "A=1\n"
    assert snapshot.service_env.path == str(second)


@pytest.mark.parametrize("shell", SH)
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_home_with_a_hostile_name(tmp_path: Path, mac: Path, shell: str, name: str) -> None:
    home = tmp_path / name
    mac.rename(home)
    write(home, ".openclaw/openclaw.json", "{}")
    write(home, ".clawfleet/restart-needed", "because\n")
    if any(char in name for char in "\n\t"):
        with pytest.raises(AssertionError, match="line break or tab"):
            read(home, shell, prefix=str(home / "nothing"))
    else:
        snapshot = read(home, shell, prefix=str(home / "nothing"))
        assert snapshot.home == str(home)
        assert snapshot.config.text == "{}"
        assert snapshot.config.folder == snapshot.state_folder == str(home / ".openclaw")
        assert snapshot.restart_needed == ("because",)
    assert not list(tmp_path.rglob("pwned"))


def install(home: Path) -> Path:
    prefix = home / "brew"
    write(home, "brew/bin/brew", "#!/bin/sh\n", 0o755)
    write(home, "brew/Cellar/ollama/0.32.3_1/bin/ollama", "", 0o755)
    write(home, "brew/Cellar/node@24/24.18.0/bin/node", "#!/bin/sh\necho v0\n", 0o755)
    (prefix / "opt").mkdir()
    (prefix / "opt" / "ollama").symlink_to("../Cellar/ollama/0.32.3_1")
    (prefix / "opt" / "node@24").symlink_to("../Cellar/node@24/24.18.0")
    (prefix / "bin" / "ollama").symlink_to("../Cellar/ollama/0.32.3_1/bin/ollama")
    package = write(home, "brew/lib/node_modules/openclaw/openclaw.mjs", "#!/usr/bin/env node\n")
    package.chmod(0o755)
    write(
        home,
        "brew/lib/node_modules/openclaw/package.json",
        '{\n  "name": "openclaw",\n  "version": "2026.9.6",\n  "x": {"version": "1"}\n}\n',
    )
    (prefix / "bin" / "openclaw").symlink_to("../lib/node_modules/openclaw/openclaw.mjs")
    return prefix


@pytest.mark.parametrize("shell", SH)
def test_what_homebrew_and_npm_installed(mac: Path, shell: str) -> None:
    home = mac.parent / "plain"
    mac.rename(home)
    prefix = install(home)
    snapshot = read(home, shell, prefix=str(prefix))
    assert snapshot.brew == str(prefix)
    assert snapshot.ollama_formula == "0.32.3_1"
    assert snapshot.ollama_link == "../Cellar/ollama/0.32.3_1/bin/ollama"
    assert snapshot.ollama_cask is None
    assert snapshot.openclaw == "2026.9.6"
    assert snapshot.openclaw_bin == str(prefix / "bin" / "openclaw")
    assert snapshot.openclaw_entry == str(prefix / "lib/node_modules/openclaw/openclaw.mjs")
    assert [(n.path, n.version) for n in snapshot.nodes] == [
        (str(prefix / "opt/node@24/bin/node"), "24.18.0")
    ]
    assert snapshot.brew_env.path == str(prefix / "etc/homebrew/brew.env")


@pytest.mark.parametrize("shell", SH)
def test_pnpms_entry_is_followed_to_the_package(mac: Path, shell: str) -> None:
    entry = 'exec node  "$basedir/global/5/node_modules/openclaw/openclaw.mjs" "$@"\n'
    write(mac, "Library/pnpm/openclaw", f"#!/bin/sh\n{entry}", 0o755)
    package = "Library/pnpm/global/5/node_modules/openclaw"
    write(mac, f"{package}/openclaw.mjs")
    write(mac, f"{package}/package.json", '{\n  "version": "2026.2.17"\n}\n')
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.openclaw == "2026.2.17"
    assert snapshot.openclaw_bin == str(mac / "Library/pnpm/openclaw")
    assert snapshot.openclaw_entry == str(mac / package / "openclaw.mjs")


@pytest.mark.parametrize("shell", SH)
def test_another_system_is_not_looked_at_further(mac: Path, shell: str) -> None:
    (mac.parent / "bin" / "uname").write_text("#!/bin/sh\necho 'Linux x86_64'\n")
    assert read(mac, shell) == Snapshot("Linux")


@pytest.mark.parametrize("shell", SH)
def test_notes_of_ours_that_are_no_text_stop_no_reading(mac: Path, shell: str) -> None:
    for name in ("unfinished", "installed", "restart-needed"):
        write(mac, f".clawfleet/{name}").write_bytes(b"\xff\xfe one\n")
    snapshot = read(mac, shell)
    assert snapshot.unfinished == b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert snapshot.installed == snapshot.restart_needed == ("�� one",)
    (mac / ".clawfleet" / "unfinished").unlink()
    (mac / ".clawfleet" / "unfinished").mkdir()
    assert read(mac, shell).unfinished == "not a regular file"


@pytest.mark.parametrize("shell", SH)
def test_further_files_are_read_where_that_is_asked(mac: Path, shell: str) -> None:
    there = write(mac, ".openclaw/agents/a b/agent/auth-profiles.json", "{}")
    gone = mac / "$(touch pwned)" / "*"
    first, second = read(mac, shell, also=f"{there}\n{gone}").also
    assert (first.path, first.content, first.folder) == (str(there), b"{}", str(there.parent))
    assert (second.path, second.exists) == (str(gone), False)
    assert not list(mac.rglob("pwned"))
