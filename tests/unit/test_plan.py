"""Which files a deploy may replace: the user's own, in the user's own folders, where they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawfleet import environment, homebrew, ollama
from clawfleet.plan import Trouble, guard
from clawfleet.snapshot import File, Folder, Snapshot
from tests.unit.factory import BREW, HOME, bare, equipped, file, plist, settings, trouble_is_useful

STATE = f"{HOME}/.openclaw"
AGENT = f"{STATE}/agents/main/agent"


def mac(**folders: str | int) -> Snapshot:
    """A Mac with ~/.openclaw, whose folders are as they should be; `mode` or `uid` of one not."""
    paths = [STATE, f"{STATE}/agents", f"{STATE}/agents/main", AGENT, f"{HOME}/Library", HOME]
    paths += [f"{HOME}/Library/LaunchAgents", f"{HOME}/.homebrew"]
    found = {path: Folder(path, "755", 501) for path in paths}
    at = str(folders.pop("at", AGENT))
    changed: dict[str, Any] = dict(folders)
    found[at] = replace(found[at], **changed)
    return replace(bare(), home_folder=HOME, state_folder=STATE, state_mode="700", folders=found)


def auth(**more: Any) -> File:
    values: dict[str, Any] = {"folder": AGENT} | more
    return file(f"{AGENT}/auth-profiles.json", "{}", **values)


def refused(file: File, snapshot: Snapshot, *words: str) -> None:
    with pytest.raises(Trouble) as caught:
        guard(file, snapshot)
    trouble_is_useful(caught.value, *words)


def test_a_file_of_the_user_is_taken_as_it_is() -> None:
    assert guard(auth(), mac()) == auth()
    absent = File(f"{AGENT}/auth-profiles.json", None, folder=f"{STATE}/agents")
    assert guard(absent, mac()) == absent
    job = file(f"{HOME}/Library/LaunchAgents/a.plist", "x", folder=f"{HOME}/Library/LaunchAgents")
    assert guard(job, mac()) == job


def test_a_mac_without_openclaw_yet() -> None:
    snapshot = replace(mac(), state_folder=None, state_mode="")
    assert guard(File(f"{STATE}/openclaw.json", None, folder=HOME), snapshot)
    outside = File(f"{STATE}/openclaw.json", None, folder="/Volumes/x")
    refused(outside, snapshot, "lies in /Volumes/x", f"a file in {HOME}/")


def test_a_link_within_the_folder_stays_and_its_target_is_replaced() -> None:
    target = f"{STATE}/secrets/auth.json"
    found = guard(auth(link=target, folder=f"{STATE}/secrets"), mac())
    assert (found.path, found.content) == (target, b"{}")


@pytest.mark.parametrize(
    "target", ["/etc/x", f"{HOME}/dotfiles/auth.json", f"{HOME}/.openclaw-old/auth.json", "/x"]
)
def test_a_link_out_of_the_folder_is_refused(target: str) -> None:
    folder = target.rpartition("/")[0]
    words = (f"is a link to {target}", f"a file in {STATE}/", f"cp {target} ")
    refused(auth(link=target, folder=folder), mac(), *words)
    # Also where nobody has looked at the folder.
    refused(auth(link=target, folder=None), mac(), *words)


@pytest.mark.parametrize("where", ["/Volumes/x/agents", f"{HOME}/agents/main/agent", "/"])
def test_a_folder_on_the_way_that_is_a_link_is_refused(where: str) -> None:
    refused(auth(folder=where), mac(), f"lies in {where}", "is a link", f"ls -ld {AGENT}")


@pytest.mark.parametrize("where", [f"{HOME}/dotfiles/openclaw", "/Volumes/Data/openclaw"])
def test_the_whole_folder_may_be_a_link(where: str) -> None:
    snapshot = replace(mac(), state_folder=where, state_link=where)
    assert guard(auth(folder=f"{where}/agents/main/agent"), snapshot)
    refused(auth(folder=AGENT), snapshot, f"a file in {where}/")


def test_a_home_that_is_a_link() -> None:
    real = "/Volumes/Data/mac"
    snapshot = replace(mac(), home_folder=real, state_folder=f"{real}/.openclaw")
    assert guard(auth(folder=f"{real}/.openclaw/agents/main/agent"), snapshot)
    job = file(f"{HOME}/Library/LaunchAgents/a.plist", "x", folder=f"{real}/Library/LaunchAgents")
    assert guard(job, snapshot) == job


def test_another_users_file_or_folder_is_refused() -> None:
    words = ("belongs to the user with the id 0", "id 501", "sudo chown mac ")
    refused(auth(uid=0), mac(), f"{AGENT}/auth-profiles.json", *words)
    for folder in (AGENT, f"{STATE}/agents", STATE):
        refused(auth(), mac(at=folder, uid=0), f"chown mac {folder}", *words)


@pytest.mark.parametrize("mode", ["775", "757", "777", "1777", "730"])
@pytest.mark.parametrize("folder", [AGENT, f"{STATE}/agents"])
def test_a_folder_that_others_may_write_into_is_refused(mode: str, folder: str) -> None:
    snapshot = mac(at=folder, mode=mode)
    refused(auth(), snapshot, f"(mode {mode})", f"chmod go-w {folder}")


def test_modes_that_are_mended_or_not_ours() -> None:
    """The plan of the config takes ~/.openclaw itself to 0700."""
    assert guard(auth(), mac(at=STATE, mode="777"))
    assert guard(auth(), mac(at=HOME, mode="777"))


def test_homebrews_folder_belongs_to_the_administrators() -> None:
    where = f"{BREW}/etc/homebrew"
    brew = file(f"{where}/brew.env", "", folder=where)
    folders = {where: Folder(where, "775", 501)}
    assert guard(brew, replace(mac(), folders=folders))
    refused(brew, replace(mac(), folders={where: Folder(where, "775", 502)}), "id 502")


def test_what_cannot_be_read_is_refused() -> None:
    refused(auth(trouble="not a regular file"), mac(), "is not a regular file", "ls -ld")


def test_every_plan_that_writes_asks() -> None:
    wished = settings(homebrew_mirror="ustc")
    proxied = plist({"http_proxy": "http://127.0.0.1:1"})
    snapshot = replace(
        equipped(),
        plist=file(bare().plist.path, proxied, uid=0),
        ollama_env=file(bare().ollama_env.path, "A=1\n", uid=0),
        brew_env=file(f"{BREW}/etc/homebrew/brew.env", "A=1\n", uid=0),
    )
    for plan in (environment.plan, ollama.plan, homebrew.files):
        with pytest.raises(Trouble, match="belongs to the user with the id 0"):
            plan(snapshot, wished)
