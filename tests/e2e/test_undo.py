"""The ways back: rollback, remove, and what was changed by hand since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawfleet import json5
from tests.e2e.deploys import Done, home, own_files, pyinfra, tree
from tests.lab.lab import Lab, Mac
from tests.lab.openclaw import use_small
from tests.lab.profiles import apply

pytestmark = pytest.mark.lab

BASE = (
    *("--data", "openclaw_version=2026.2.17", "--data", "gateway_settle=1"),
    *("--data", "verify=off", "--limit", "mac1"),
)
CONFIG = ".openclaw/openclaw.json"
ROLLBACK = "tasks/rollback.py"
REMOVE = "tasks/remove.py"
OTHER_WISH = ("--data", "fallbacks=[]", "--data", "keep_fallbacks=false")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One rich Mac; each test leaves it as its user had it."""
    with Lab.up(1, dir=tmp_path_factory.mktemp("lab")) as lab:
        use_small(lab.macs["mac1"])
        apply(lab.macs["mac1"], "rich", "2026.2.17")
        yield lab


@pytest.fixture
def mac(lab: Lab) -> Mac:
    return lab.macs["mac1"]


@pytest.fixture
def before(lab: Lab, mac: Mac, reports: Path) -> Iterator[dict[str, str]]:
    """The user's files before a test, and the promise that a removal gives them back."""
    found = files(mac)
    yield found
    done = run(lab, "-y", task=REMOVE, reports=reports)
    assert done.code == 0, done.log
    assert files(mac) == found


def files(mac: Mac) -> dict[str, str]:
    """Files that a deploy could change."""
    return own_files(tree(mac))


def run(lab: Lab, *arguments: str, task: str = "deploy.py", reports: Path) -> Done:
    return pyinfra(lab, *BASE, *arguments, task=task, reports=reports)


def well(mac: Mac) -> bool:
    url = f"http://127.0.0.1:{mac.spec.gateway_port}/"
    status = mac.exec(f"curl -s --noproxy '*' -o /dev/null -w '%{{http_code}}' {url}")
    return status.stdout == b"200"


def test_rollback(lab: Lab, mac: Mac, before: dict[str, str], reports: Path) -> None:
    assert run(lab, "-y", reports=reports).code == 0
    first, config = files(mac), home(mac, CONFIG)
    assert first != before
    assert run(lab, "-y", *OTHER_WISH, reports=reports).code == 0
    second = files(mac)
    assert second != first

    dry = run(lab, "--dry", "--diff", task=ROLLBACK, reports=reports)
    assert dry.code == 0, dry.log
    assert "Will modify ~/.openclaw/openclaw.json" in dry.log
    assert "as it was before run 20" in dry.log
    assert "Will restart the gateway" in dry.log
    assert "‹secret" in dry.log or "token" not in dry.log
    assert files(mac) == second

    done = run(lab, "-y", task=ROLLBACK, reports=reports)
    assert done.code == 0, done.log
    assert files(mac) == first
    assert home(mac, CONFIG) == config
    assert well(mac)

    # The way back has a way back.
    done = run(lab, "-y", task=ROLLBACK, reports=reports)
    assert done.code == 0, done.log
    assert files(mac) == second

    runs = mac.exec("ls -1 ~/.clawfleet/backups", check=True).stdout.decode().split()
    done = run(lab, "-y", "--data", f"run={runs[0]}", task=ROLLBACK, reports=reports)
    assert done.code == 0, done.log
    assert files(mac) == before
    assert well(mac)

    done = run(lab, "-y", "--data", "run=20200101-000000-0000", task=ROLLBACK, reports=reports)
    assert done.code == 1
    assert "no backup of run 20200101-000000-0000" in done.log


@pytest.mark.usefixtures("before")
def test_edits_since_survive_a_rollback_and_a_removal(lab: Lab, mac: Mac, reports: Path) -> None:
    own = home(mac, CONFIG)
    assert run(lab, "-y", reports=reports).code == 0
    path = f"{mac.spec.home}/{CONFIG}"
    head = "// My OpenClaw."
    mac.write(path, home(mac, CONFIG).replace(head, f"// new\n{head}").encode(), 0o600)
    done = run(lab, "-y", task=ROLLBACK, reports=reports)
    assert done.code == 0, done.log
    assert "was edited since that run; the edits stay" in done.log
    assert home(mac, CONFIG) == own.replace(head, f"// new\n{head}")
    mac.write(path, own.encode(), 0o600)


def test_remove_twice_and_deploy_again(
    lab: Lab, mac: Mac, before: dict[str, str], reports: Path
) -> None:
    assert run(lab, "-y", reports=reports).code == 0
    deployed = files(mac)
    dry = run(lab, "--dry", "--diff", task=REMOVE, reports=reports)
    assert dry.code == 0, dry.log
    assert "takes out what clawfleet wrote" in dry.log
    assert files(mac) == deployed
    assert run(lab, "-y", task=REMOVE, reports=reports).code == 0
    assert files(mac) == before
    assert well(mac)
    again = run(lab, "-y", "--json", task=REMOVE, reports=reports)
    assert again.code == 0, again.log
    assert again.changed() == []
    assert run(lab, "-y", reports=reports).code == 0
    assert files(mac) == deployed


@pytest.mark.usefixtures("before")
def test_a_key_changed_by_hand(lab: Lab, mac: Mac, reports: Path) -> None:
    assert run(lab, "-y", reports=reports).code == 0
    ours = home(mac, CONFIG)
    theirs = ours.replace("'ollama/gpt-oss:20b', fallbacks", "'zai/glm-4.5-air', fallbacks")
    assert theirs != ours
    mac.write(f"{mac.spec.home}/{CONFIG}", theirs.encode(), 0o600)

    left = run(lab, "-y", "--json", "--data", "config_conflict=theirs", reports=reports)
    assert left.code == 0, left.log
    assert "model.primary was changed by hand since clawfleet wrote it: left as it is" in left.log
    assert home(mac, CONFIG) == theirs

    asks = run(lab, "-y", "--data", "config_conflict=ask-in-diff", reports=reports)
    assert asks.code == 1
    assert "--data config_conflict=ours" in asks.log
    assert home(mac, CONFIG) == theirs

    dry = run(lab, "--dry", "--diff", reports=reports)
    assert "written again (config_conflict: ours)" in dry.log
    assert run(lab, "-y", reports=reports).code == 0
    assert home(mac, CONFIG) == ours


@pytest.mark.usefixtures("before")
def test_models_go_only_where_that_is_asked_and_only_ours(
    lab: Lab, mac: Mac, reports: Path
) -> None:
    extra = '--data=models=[{"id":"qwen3:0.6b"},{"id":"gpt-oss:20b"}]'
    wish = (extra, "--data", "fallbacks=[]")
    done = run(lab, "-y", *wish, reports=reports)
    assert done.code == 0, done.log
    listed = f"{mac.spec.homebrew_prefix}/bin/ollama list"
    assert b"qwen3:0.6b" in mac.exec(listed).stdout
    done = run(lab, "-y", "--data", "remove_models=true", task=REMOVE, reports=reports)
    assert done.code == 0, done.log
    left = mac.exec(listed).stdout
    assert b"qwen3:0.6b" not in left
    assert b"gpt-oss:20b" in left, "was there before the first run"


@pytest.mark.usefixtures("before")
def test_a_removal_whose_gateway_fails_changes_nothing(lab: Lab, mac: Mac, reports: Path) -> None:
    assert run(lab, "-y", reports=reports).code == 0
    deployed = files(mac)
    # The gateway ends when it reads what only the user's own config holds.
    mac.set_faults({"npm.openclaw": "small", "openclaw.gateway": "exit:primary: 'zai"})
    done = run(lab, "-y", "--data", "gateway_start_timeout=8", task=REMOVE, reports=reports)
    mac.set_faults({"npm.openclaw": "small"})
    assert done.code == 1
    assert "and the gateway runs with them" in done.log
    assert files(mac) == deployed
    assert json5.loads(home(mac, ".clawfleet/owned.json"))["schema"] == 1


@pytest.mark.parametrize("task", [ROLLBACK, REMOVE])
def test_the_port_and_the_launch_agent_come_back(
    lab: Lab, mac: Mac, before: dict[str, str], reports: Path, task: str
) -> None:
    port = ("--data", "gateway_port=19000")
    done = run(lab, "-y", *port, reports=reports)
    assert done.code == 0, done.log
    assert "Will install the gateway again: its plist has port 18789" in done.log
    again = run(lab, "-y", "--json", *port, reports=reports)
    assert again.changed() == [], again.log
    done = run(lab, "-y", *port, "--data", "gateway_start_timeout=30", task=task, reports=reports)
    assert done.code == 0, done.log
    assert files(mac) == before
    assert well(mac)


def test_another_agent_is_not_forgotten(
    lab: Lab, mac: Mac, before: dict[str, str], reports: Path
) -> None:
    assert run(lab, "-y", reports=reports).code == 0
    assert run(lab, "-y", "--data", "agent=work", reports=reports).code == 0
    deployed = files(mac)
    work = "./.openclaw/agents/work/agent/auth-profiles.json"
    assert work in deployed
    assert run(lab, "-y", "--data", "agent=work", task=REMOVE, reports=reports).code == 0
    assert files(mac) == before
    assert run(lab, "-y", task=ROLLBACK, reports=reports).code == 0
    assert files(mac) == deployed


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("note", ["x;touch${IFS}~/pwned", "../../x"])
@pytest.mark.parametrize("task", ["deploy.py", ROLLBACK, REMOVE])
def test_a_damaged_note_of_a_run_is_neither_run_nor_followed(
    lab: Lab, mac: Mac, reports: Path, note: str, task: str
) -> None:
    path = f"{mac.spec.home}/.clawfleet/unfinished"
    mac.exec("mkdir -p ~/.clawfleet", check=True)
    mac.write(path, f"{note}\n".encode(), 0o600)
    done = run(lab, "-y", task=task, reports=reports)
    mac.exec("rm ~/.clawfleet/unfinished", check=True)
    assert done.code == 1
    assert "unfinished names no run of clawfleet" in done.log
    assert "pwned" not in mac.exec("ls ~").stdout.decode()
    assert well(mac)


@pytest.mark.parametrize("task", [ROLLBACK, REMOVE])
def test_a_gateway_that_a_cut_run_stopped_is_started(
    lab: Lab, mac: Mac, before: dict[str, str], reports: Path, task: str
) -> None:
    cut = "20991231-235959-abcd"
    # Without the backups of the tests before there is nothing else to go back to.
    mac.exec("rm -rf ~/.clawfleet/backups; mkdir -p ~/.clawfleet", check=True)
    mac.exec(f"echo {cut} > ~/.clawfleet/unfinished", check=True)
    mac.exec(f"launchctl bootout gui/{mac.spec.uid}/ai.openclaw.gateway", check=True)
    assert not well(mac)
    done = run(lab, "-y", task=task, reports=reports)
    assert done.code == 0, done.log
    assert f"run {cut} was cut off" in done.log
    assert well(mac)
    assert files(mac) == before
    assert "unfinished" not in mac.exec("ls ~/.clawfleet").stdout.decode()
