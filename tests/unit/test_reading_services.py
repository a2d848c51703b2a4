"""What facts/mac.sh reads of launchd's jobs and of Ollama: which, whose, in which domain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_reading import SH, command, mac, read, write

__all__ = ["mac"]


@pytest.mark.parametrize("shell", SH)
def test_a_cask_is_told_by_its_own_record(mac: Path, shell: str) -> None:
    home = mac.parent / "plain"
    mac.rename(home)
    write(home, "brew/bin/brew", "", 0o755)
    prefix = str(home / "brew")
    (home / "brew/Caskroom/ollama-app").mkdir(parents=True)
    assert read(home, shell, prefix=prefix).ollama_cask is None
    record = "brew/Caskroom/ollama-app/.metadata/0.32.3/20261123.1/Casks/ollama-app.json"
    write(home, record)
    (home / "brew/Caskroom/ollama").symlink_to("ollama-app")
    assert read(home, shell, prefix=prefix).ollama_cask == "ollama-app"
    (home / "Applications/Ollama.app/Contents").mkdir(parents=True)
    snapshot = read(home, shell, prefix=prefix)
    assert snapshot.ollama_app == str(home / "Applications/Ollama.app")
    assert snapshot.ollama_app_version == "0.32.3"
    assert snapshot.ollama_app_pids == ()
    assert snapshot.ollama_app_settings is None


@pytest.mark.parametrize("shell", SH)
def test_ollamas_server_and_the_apps_settings(mac: Path, shell: str) -> None:
    command(mac, "pgrep", "echo 600")
    command(
        mac,
        "ps",
        """case $* in
*eww*700) echo "ollama serve PATH=/bin OLLAMA_KEEP_ALIVE=5m OLLAMA_API_KEY=s3cret OLLAMA_X=";;
*eww*) ;;
*) printf '  700 600 01:00 /Applications/Ollama.app/Contents/Resources/ollama serve\\n';;
esac""",
    )
    command(
        mac,
        "sqlite3",
        """[ "$1" = -readonly ] && [ "$6" = "$(cat "$HOME/expected")" ] || exit 1
printf '     id = 1\\ncontext_length = 4096\\n device_id = 1234\\n  expose = 0\\n'""",
    )
    write(mac, "Applications/Ollama.app/Contents/Info.plist")
    write(mac, "Library/Application Support/Ollama/db.sqlite")
    write(mac, "Library/Application Support/Ollama/db.sqlite-wal")
    write(mac, "expected", "db.sqlite")
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.ollama_variables == {"OLLAMA_KEEP_ALIVE": "5m", "OLLAMA_X": ""}
    assert snapshot.ollama_app_pids == (600,)
    assert snapshot.ollama_app_settings == {"context_length": "4096", "expose": "0"}
    assert snapshot.ollama_owner == "app"
    # Nobody has it open: nothing may be left beside it.
    (mac / "Library/Application Support/Ollama/db.sqlite-wal").unlink()
    write(mac, "expected", "file:db.sqlite?immutable=1")
    assert read(mac, shell, prefix=str(mac / "nothing")).ollama_app_settings
    command(mac, "sqlite3", "echo 'Error: file is not a database' >&2; exit 26")
    assert read(mac, shell, prefix=str(mac / "nothing")).ollama_app_settings == {}


@pytest.mark.parametrize("shell", SH)
def test_homebrews_job_is_found_in_either_domain(mac: Path, shell: str) -> None:
    home = mac.parent / "plain"
    mac.rename(home)
    write(home, "brew/bin/brew", "", 0o755)
    printed = "x = {\\n\\tpid = 700\\n\\tenvironment = {\\n\\t\\tOLLAMA_A => 1\\n\\t}\\n}\\n"
    for domain in ("gui", "user"):
        where = f"print {domain}/501/homebrew.mxcl.ollama"
        command(home, "launchctl", f"[ \"$*\" = '{where}' ] || exit 113\nprintf '{printed}'")
        snapshot = read(home, shell, prefix=str(home / "brew"))
        assert snapshot.ollama_job
        assert (snapshot.ollama_job.pid, snapshot.ollama_job.environment) == (
            700,
            {"OLLAMA_A": "1"},
        )
        assert snapshot.ollama_owner == "formula"


@pytest.mark.parametrize("shell", SH)
def test_a_port_of_somebody_who_can_not_be_seen(mac: Path, shell: str) -> None:
    command(mac, "lsof", "exit 1")
    command(mac, "curl", "exit 7")
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert not snapshot.ollama_open
    command(mac, "curl", "exit 28")
    root = "[ \"$*\" = 'print system/homebrew.mxcl.ollama' ] || exit 113\necho x"
    command(mac, "launchctl", root)
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert snapshot.ollama_open
    assert snapshot.ollama_root


@pytest.mark.parametrize("shell", SH)
def test_nobody_at_the_screen(mac: Path, shell: str) -> None:
    command = mac.parent / "bin" / "launchctl"
    command.write_text(
        "#!/bin/sh\necho 'Bad request.' >&2\n"
        "echo 'Could not find domain for user gui: 501' >&2\nexit 112\n"
    )
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert not snapshot.gui
    assert snapshot.gui_error == "Could not find domain for user gui: 501"
    assert snapshot.gateway is None


@pytest.mark.parametrize("shell", SH)
def test_a_plist_of_the_other_kind_counts_before_it_is_loaded(
    mac: Path, shell: str, tmp_path: Path
) -> None:
    """Nobody is logged in, or a bootout was all that somebody did: the next start loads it."""
    folder = tmp_path / "LaunchDaemons"
    folder.mkdir()
    brew = write(tmp_path, "brew/bin/brew", mode=0o755).parents[1]
    command(mac, "launchctl", "exit 113")

    def twins(services: str) -> tuple[bool, bool]:
        found = read(mac, shell, prefix=str(brew), services=services, daemons=folder)
        return found.gateway_twin, found.ollama_twin

    assert twins("agents") == twins("daemons") == (False, False)
    (folder / "ai.clawfleet.ollama.plist").touch()
    assert twins("agents") == (False, True)
    assert twins("daemons") == (False, False)
    (folder / "ai.openclaw.gateway.plist").touch()
    assert twins("agents") == (True, True)
    command(
        mac,
        "launchctl",
        """case $1 in print-disabled)
      printf '\\t\\t"ai.openclaw.gateway" => disabled\\n';; *) exit 113;; esac""",
    )
    assert twins("agents") == (False, True)
    write(mac, "Library/LaunchAgents/homebrew.mxcl.ollama.plist")
    assert twins("daemons") == (False, True)
    write(mac, "Library/LaunchAgents/ai.openclaw.gateway.plist")
    assert twins("daemons") == (True, True)


@pytest.mark.parametrize("shell", SH)
@pytest.mark.parametrize(
    ("clock", "now", "age"),
    [
        ("100 101", 100, 1),
        # ps came six seconds late: its answer belongs to no moment that is known.
        ("100 106 106 106", 106, 2),
        # A Mac that is always this slow gets the last answer.
        ("10 20 30 40 50 60 70 80 90 99", 90, 5),
    ],
)
def test_the_clock_and_the_ages_are_of_one_moment(
    mac: Path, shell: str, clock: str, now: int, age: int
) -> None:
    next_one = 'read -r n < "$HOME/{0}" || n=0; n=$((n+1)); echo "$n" > "$HOME/{0}"\n'
    for counter in ("dates", "calls"):
        write(mac, counter, "0\n")
    command(mac, "date", f"{next_one.format('dates')}set -- {clock}; eval echo '\"${{'$n'}}\"'")
    ps = f'{next_one.format("calls")}echo "700 1 00:0$n node gateway"'
    command(mac, "ps", f"case $* in *etime*) {ps};; esac")
    command(mac, "lsof", "echo 700")
    snapshot = read(mac, shell, prefix=str(mac / "nothing"))
    assert (snapshot.now, snapshot.gateway_port.processes[0].age) == (now, age)
