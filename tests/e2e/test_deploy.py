"""The whole job on three Macs, with the real OpenClaw: dry run, deploy, and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clawfleet import json5
from tests.e2e.conftest import need_openclaw, stories
from tests.e2e.deploys import Done, awake, home, own_files, owned, pyinfra, report, tree
from tests.lab import levels, plan
from tests.lab.lab import Lab, Mac
from tests.lab.profiles import TOKEN, apply, rich_config

pytestmark = [pytest.mark.lab, pytest.mark.openclaw]


@dataclass
class Story:
    """What happened, in order, on one lab of three Macs: bare, rich, half."""

    lab: Lab
    version: str
    before: dict[str, dict[str, str]]
    after_dry: dict[str, dict[str, str]]
    dry: Done
    first: Done
    second: Done
    dry_again: Done
    reports: Path


@pytest.fixture(scope="module", params=stories(), ids="-".join)
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    version, level = request.param
    if level == "namespaces" and (why := levels.obstacle([plan.REPO])):
        pytest.skip(f"no namespaces here: {why}")
    need_openclaw(version)
    reports = tmp_path_factory.mktemp("reports")
    with Lab.up(3, level=level, dir=tmp_path_factory.mktemp("lab")) as lab:
        for mac, profile in zip(lab.macs.values(), ("bare", "rich", "half"), strict=True):
            apply(mac, profile, version)
        pin = ("--data", f"openclaw_version={version}")
        before = {name: tree(mac) for name, mac in lab.macs.items()}
        dry = pyinfra(lab, "--dry", "--diff", *pin, reports=reports)
        after_dry = {name: tree(mac) for name, mac in lab.macs.items()}
        first = pyinfra(lab, "-y", "--json", *pin, reports=reports)
        second = pyinfra(lab, "-y", "--json", *pin, "--data", "verify=off", reports=reports)
        dry_again = pyinfra(lab, "--dry", "--json", *pin, reports=reports)
        yield Story(lab, version, before, after_dry, dry, first, second, dry_again, reports)


def test_dry_run_shows_diffs_and_changes_nothing(story: Story) -> None:
    assert story.dry.code == 0, story.dry.log
    for name in ("mac1", "mac3"):
        assert story.after_dry[name] == story.before[name], name
    # A gateway runs on the rich Mac, and writes into its own folder when it likes.
    assert owned(story.after_dry["mac2"]) == owned(story.before["mac2"])
    assert "./.openclaw/openclaw.json" in owned(story.before["mac2"])
    log = story.dry.log
    # bare: a file in a folder that is not there yet; rich: the user's own file
    assert "[mac1]   --- /dev/null" in log
    assert "[mac1]   +++ ~/.openclaw/openclaw.json" in log
    assert "[mac2]   --- ~/.openclaw/openclaw.json" in log
    assert "Will install Homebrew" in log
    assert "Will pull qwen3-coder" in log
    assert "Traceback" not in log


def test_no_secret_is_printed(story: Story) -> None:
    token = json5.loads(home(story.lab.macs["mac1"], ".openclaw/openclaw.json"))
    secrets = [
        TOKEN,
        "zai-lab-not-a-real-key",
        "123456:lab-not-a-real-token",
        token["gateway"]["auth"]["token"],
    ]
    written = "".join(file.read_text() for file in story.reports.glob("*.json"))
    for done in (story.dry, story.first, story.second, story.dry_again):
        written += done.out + done.log
    for secret in secrets:
        assert secret not in written
    assert "‹secret" in story.dry.log


def test_deploy_succeeds_everywhere(story: Story) -> None:
    assert story.first.code == 0, story.first.log
    assert story.first.result["results"]["failed_hosts"] == []
    found = json.loads(sorted(story.reports.glob("*.json"))[0].read_text())
    assert set(found["macs"]) == {"mac1", "mac2", "mac3"}
    for name, mac in found["macs"].items():
        assert mac["ok"], (name, mac)
        layers = {check["layer"]: check for check in mac["checks"]}
        # A real turn of the agent, through the gateway, although proxies were everywhere.
        assert layers["agent"]["detail"].startswith("ollama/gpt-oss:20b answered")
        assert {latency["context"] for latency in mac["latency"]} == {32768}


def test_second_run_changes_nothing(story: Story) -> None:
    assert story.second.code == 0, story.second.log
    assert story.second.changed() == []
    plan = story.dry_again.result["plan"]
    assert [op["name"] for op in plan if op["hosts_with_change"]] == []


def test_user_config_survives(story: Story) -> None:
    mac = story.lab.macs["mac2"]
    before = rich_config(story.version, mac.spec)
    after = home(mac, ".openclaw/openclaw.json")
    for comment in (
        "mind the comments!",
        "the cloud, for the hard questions",
        "/* keep: the phone",
    ):
        assert comment in after
    old, new = json5.loads(before), json5.loads(after)
    assert new["gateway"] == old["gateway"]
    assert new["channels"] == old["channels"]
    assert new["plugins"] == old["plugins"]
    assert new["models"]["providers"]["zai"] == old["models"]["providers"]["zai"]
    assert new["agents"]["defaults"]["models"]["zai/glm-4.5-air"] == {"alias": "Air"}
    assert new["agents"]["defaults"]["maxConcurrent"] == 2
    assert new["agents"]["defaults"]["model"]["primary"] == "ollama/gpt-oss:20b"


def test_files_are_private_and_backed_up(story: Story) -> None:
    for name, mac in story.lab.macs.items():
        modes = mac.exec('stat -f "%Lp" ~/.openclaw/openclaw.json ~/.openclaw ~/.clawfleet').stdout
        assert modes.split() == [b"600", b"700", b"700"], name
    mac = story.lab.macs["mac2"]
    kept = mac.exec(
        "cat ~/.clawfleet/backups/*/gateway/openclaw-openclaw.json", check=True
    ).stdout.decode()
    assert kept == rich_config(story.version, mac.spec)


def test_no_proxy_is_left_where_the_gateway_starts_from(story: Story) -> None:
    mac = story.lab.macs["mac2"]
    assert "roxy" not in mac.exec("launchctl print gui/$(id -u) | grep -i _proxy").stdout.decode()
    assert home(mac, ".openclaw/.env") == "# left over from the office\n"
    plist = home(mac, "Library/LaunchAgents/ai.openclaw.gateway.plist")
    assert "_PROXY" not in plist.upper()


def test_a_new_auth_file_only_where_it_is_read(story: Story) -> None:
    listed = story.lab.macs["mac1"].exec("ls ~/.openclaw/agents/main/agent").stdout.decode()
    assert ("auth-profiles.json" in listed) == (story.version == "2026.2.17")


def test_the_users_conversation_is_left_alone(story: Story) -> None:
    """The proof has a turn of its own: the agent's main conversation does not hold it."""
    if story.version != "2026.2.17":
        pytest.skip("2026.9 keeps conversations in a database")
    folder = "~/.openclaw/agents/main/sessions"
    for name, mac in story.lab.macs.items():
        ours = mac.exec(f"ls {folder}/clawfleet-*.jsonl").stdout.split()
        assert len(ours) == 1, name
        others = mac.exec(f"grep -l 'capital of France' {folder}/*.jsonl").stdout.split()
        assert others == ours, name


def test_report_names_the_run(story: Story) -> None:
    newest = report(story.reports)
    assert newest["schema"] == 1
    assert newest["run"]
    assert newest["pyinfra"].startswith("3.")
    about = newest["macs"]["mac1"]["about"]
    assert (about["openclaw"], about["chip"]) == (story.version, "Apple M2 Pro")
    assert about["ollama_owner"] == "formula"


def test_a_deployed_mac_has_none_of_the_known_troubles(story: Story) -> None:
    """With OpenClaw's own word on its config; and whoever only looks leaves nothing behind."""
    for mac in story.lab.macs.values():
        awake(mac)
    # Which each command of 2026.2.17 writes anew, where it is not kept from it.
    agent = 'stat -f "%m %z %N" ~/.openclaw/agents/main/agent/*.json'

    ours = ("./.openclaw/", "./.clawfleet", "./.homebrew", "./Library/LaunchAgents")

    def everything() -> set[tuple[str, str, str]]:
        found = set()
        for name, mac in story.lab.macs.items():
            # The rest of the home folder a running gateway writes when it likes. With the
            # small OpenClaw nothing at all may differ (test_diagnose.py).
            seen = owned(tree(mac)).items()
            found |= {(name, path, what) for path, what in seen if path.startswith(ours)}
            found.add((name, "agent", mac.exec(agent).stdout.decode()))
        return found

    before = everything()
    pin = ("--data", f"openclaw_version={story.version}")
    done = pyinfra(story.lab, "-y", "--json", *pin, task="tasks/diagnose.py", reports=story.reports)
    assert done.code == 0, done.log
    assert done.changed() == []
    for name, found in report(story.reports)["macs"].items():
        assert found["findings"] == [], name
        assert "its config is valid" in found["well"]
    assert sorted(everything() ^ before) == []


def prompt(mac: Mac) -> int:
    """Tokens of the last request of the agent's main conversation, as Ollama counted them."""
    folder = "~/.openclaw/agents/main"
    store = mac.exec(f"cat {folder}/sessions/sessions.json").stdout
    if not store:
        query = "select entry_json from session_nodes where session_key = 'agent:main:main'"
        file = f"{folder}/agent/openclaw-agent.sqlite"
        entry = json.loads(mac.exec(f'sqlite3 -readonly {file} "{query}"', check=True).stdout)
    else:
        entry = json.loads(store)["agent:main:main"]
    tokens: int = entry["totalTokens"]
    return tokens


def test_a_conversation_is_forgotten_when_that_is_asked(story: Story) -> None:
    mac = story.lab.macs["mac1"]
    spec, node = mac.spec, {"2026.2.17": "node@22", "2026.9.6": "node@24"}[story.version]
    path = f"{spec.homebrew_prefix}/opt/{node}/bin:{spec.homebrew_prefix}/bin"

    def say(text: str) -> int:
        command = f"openclaw agent --agent main --message '{text}' --json"
        done = mac.exec(f'PATH="{path}:$PATH"; {command}')
        assert done.returncode == 0, (done.stdout, done.stderr)
        return prompt(mac)

    first = say("all work and no play " * 500)
    grown = say("hello")
    assert grown > first
    wish = ("--data", f"openclaw_version={story.version}", "--data", "reset_sessions=true")
    done = pyinfra(
        story.lab, "-y", *wish, "--limit", "mac1", task="tasks/gateway.py", reports=story.reports
    )
    assert done.code == 0, done.log
    kept = mac.exec("ls ~/.clawfleet/backups/*/gateway").stdout.decode()
    names = {"2026.2.17": "main-sessions-sessions.json", "2026.9.6": "main-agent-openclaw-agent"}
    assert names[story.version] in kept
    # The next request has none of it any more.
    assert say("hello") < first - 1000
    assert grown - first < 1000


def test_remove_gives_everybody_their_own_back(story: Story) -> None:
    """The last in this file: it ends the story."""
    ours = (*("--data", f"openclaw_version={story.version}"), "--data", "verify=off")
    mac2 = story.lab.macs["mac2"]
    deployed = home(mac2, ".openclaw/openclaw.json")
    dry = pyinfra(
        story.lab, "--dry", "--diff", *ours, task="tasks/remove.py", reports=story.reports
    )
    assert dry.code == 0, dry.log
    assert "[mac2]   --- ~/.openclaw/openclaw.json" in dry.log
    assert "Will remove ~/.openclaw/openclaw.json" in dry.log
    assert home(mac2, ".openclaw/openclaw.json") == deployed
    done = pyinfra(story.lab, "-y", "--json", *ours, task="tasks/remove.py", reports=story.reports)
    assert done.code == 0, done.log
    # The rich Mac's own files are its own again, byte by byte, and its gateway runs with them.
    assert own_files(tree(mac2)) == own_files(story.before["mac2"])
    url = f"http://127.0.0.1:{mac2.spec.gateway_port}/"
    status = mac2.exec(f"curl -s --noproxy '*' -o /dev/null -w '%{{http_code}}' {url}").stdout
    assert status == b"200"
    for name in ("mac1", "mac3"):
        left = story.lab.macs[name].exec(
            "ls ~/.openclaw/openclaw.json ~/.openclaw/agents/main/agent/auth-profiles.json "
            "~/Library/LaunchAgents/ai.openclaw.gateway.plist ~/.clawfleet/owned.json"
        )
        assert left.stdout == b"", name
        job = story.lab.macs[name].exec("launchctl print gui/$(id -u)/ai.openclaw.gateway")
        assert job.returncode == 113, name
    # What was installed stays, unless it is asked for.
    assert "stays installed" in done.log
    assert (
        b"gpt-oss"
        in story.lab.macs["mac1"]
        .exec(f"{story.lab.macs['mac1'].spec.homebrew_prefix}/bin/ollama list")
        .stdout
    )
    again = pyinfra(story.lab, "-y", "--json", *ours, task="tasks/remove.py", reports=story.reports)
    assert again.code == 0, again.log
    assert again.changed() == []
