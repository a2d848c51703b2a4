from __future__ import annotations

import base64
import io
import tarfile
from dataclasses import replace

import pytest

from clawfleet import backups, rollback
from clawfleet.backups import Backup, Backups, Kept
from clawfleet.plan import Trouble
from clawfleet.printed import ProbeError
from tests.unit.factory import file, healthy

CONFIG = "/Users/mac/.openclaw/openclaw.json"
ENV = "/Users/mac/.homebrew/services/ollama.env"
NEW, OLD = "20261123-153000-1a2b", "20261122-120000-0000"


def kept(path: str, before: str | None, after: str | None, part: str = "gateway") -> Kept:
    content = None if after is None else after.encode()
    return Kept(path, file(path, before, mode="640"), content, part)


def made(*runs: tuple[str, list[Kept]], now: dict[str, str | None]) -> Backups:
    read = tuple(Backup(name, tuple(files), ()) for name, files in runs)
    there = {path: file(path, content) for path, content in now.items()}
    return Backups((NEW, OLD), read, there)


def test_the_bytes_from_before_the_run_come_back() -> None:
    found = made((NEW, [kept(CONFIG, "old", "new")]), now={CONFIG: "new"})
    plan = rollback.plan(found, None, healthy())
    (change,) = plan.gateway
    assert (change.after, change.mode, change.gone) == (b"old", "640", False)
    assert plan.notes == []


def test_a_file_that_the_run_made_goes() -> None:
    found = made((NEW, [kept(CONFIG, None, "new")]), now={CONFIG: "new"})
    (change,) = rollback.plan(found, None, healthy()).gateway
    assert change.gone


def test_a_file_that_the_run_took_away_returns() -> None:
    found = made((NEW, [kept(CONFIG, "old", None)]), now={CONFIG: None})
    (change,) = rollback.plan(found, None, healthy()).gateway
    assert (change.after, change.gone) == (b"old", False)


def test_nothing_to_do_where_the_file_is_as_it_was() -> None:
    found = made((NEW, [kept(CONFIG, "old", "new")]), now={CONFIG: "old"})
    plan = rollback.plan(found, None, healthy())
    assert [change.mode for change in plan.gateway] == ["640"]
    same = Kept(CONFIG, file(CONFIG, "old"), b"new", "gateway")
    assert rollback.plan(made((NEW, [same]), now={CONFIG: "old"}), None, healthy()).gateway == []


def test_the_oldest_run_asked_for_decides() -> None:
    found = made(
        (NEW, [kept(CONFIG, "middle", "new"), kept(ENV, "A=1\n", "A=2\n", "other")]),
        (OLD, [kept(CONFIG, "old", "middle")]),
        now={CONFIG: "new", ENV: "A=2\n"},
    )
    plan = rollback.plan(found, OLD, healthy())
    assert [change.after for change in plan.gateway] == [b"old"]
    assert [change.after for change in plan.other] == [b"A=1\n"]


LONG = "{{\n  a: 1,\n  b: 2,\n  c: {},\n  d: 4,\n  e: 5,{}\n}}\n"


def test_edits_since_stay_where_they_can_be_told_apart() -> None:
    old, new = LONG.format(3, ""), LONG.format(33, "")
    found = made((NEW, [kept(CONFIG, old, new)]), now={CONFIG: LONG.format(33, "\n  mine: true,")})
    plan = rollback.plan(found, None, healthy())
    (change,) = plan.gateway
    assert change.after.decode() == LONG.format(3, "\n  mine: true,")
    assert plan.notes == [f"{CONFIG} was edited since that run; the edits stay"]


def test_edits_of_the_same_place_go_and_are_told() -> None:
    old, new = LONG.format(3, ""), LONG.format(33, "")
    found = made((NEW, [kept(CONFIG, old, new)]), now={CONFIG: LONG.format(34, "")})
    plan = rollback.plan(found, None, healthy())
    (change,) = plan.gateway
    assert change.after.decode() == old
    assert "the edits go too, and stay in a backup" in plan.notes[0]


def test_an_unknown_run_is_refused_with_those_there_are() -> None:
    with pytest.raises(Trouble) as stopped:
        rollback.plan(made(now={}), "20200101-000000-0000", healthy())
    assert NEW in stopped.value.expected


def archive(files: dict[str, str]) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content.encode()))
    return base64.b64encode(packed.getvalue()).decode()


def test_the_answer_of_the_script_is_understood() -> None:
    folder = f"/Users/mac/.clawfleet/backups/{NEW}"
    files = {
        f"{folder}/gateway/list": f"yes\tc\t{CONFIG}\nno\tn\t/n\nyes\tcut\t/cut\nyes\tg\t/g\n",
        f"{folder}/gateway/c": "old",
        f"{folder}/gateway/c.after": "new",
        f"{folder}/gateway/n.after": "made",
        f"{folder}/gateway/cut": "kept, and then the run was cut off",
        f"{folder}/gateway/g": "was",
        f"{folder}/gateway/g.gone": "",
        f"{folder}/gateway/domain": "http_proxy=http://127.0.0.1:9\n",
        f"{folder}/other/list": f"yes\te\t{ENV}\n",
        f"{folder}/other/e": "A=1\n",
        f"{folder}/other/e.after": "A=2\n",
        CONFIG: "newer",
    }
    output = (
        f"run\t{NEW}\nread\t{folder}\nrun\t{OLD}\nfiles.tar\t{archive(files)}\nclawfleet.end\t1\n"
    )
    found = backups.parse(output)
    assert found.runs == (NEW, OLD)
    (backup,) = found.read
    assert backup.run == NEW
    assert backup.domain == ("http_proxy=http://127.0.0.1:9",)
    seen = [(k.path, k.before.content, k.after, k.part) for k in backup.files]
    assert seen == [
        (CONFIG, b"old", b"new", "gateway"),
        ("/n", None, b"made", "gateway"),
        ("/g", b"was", None, "gateway"),
        (ENV, b"A=1\n", b"A=2\n", "other"),
    ]
    assert found.now[CONFIG].content == b"newer"
    assert not found.now[ENV].exists


def test_an_answer_that_was_cut_short_is_refused() -> None:
    with pytest.raises(ProbeError):
        backups.parse(f"run\t{NEW}\n")
    assert backups.parse("clawfleet.end\t1\n").runs == ()


def test_nothing_is_written_where_somebody_put_a_link_since() -> None:
    snapshot = healthy()
    config = replace(snapshot.config, folder="/Volumes/elsewhere")
    found = made((NEW, [kept(CONFIG, "old", "new")]), now={CONFIG: "new"})
    with pytest.raises(Trouble) as stopped:
        rollback.plan(found, None, replace(snapshot, config=config))
    assert "/Volumes/elsewhere" in stopped.value.found


def test_a_link_stays_and_its_target_is_put_back() -> None:
    snapshot = healthy()
    target = "/Users/mac/.openclaw/dotfiles/openclaw.json"
    moved = replace(snapshot, config=replace(snapshot.config, link=target))
    found = made((NEW, [kept(CONFIG, "old", "new")]), now={CONFIG: "new"})
    (change,) = rollback.plan(found, None, moved).gateway
    assert (change.path, change.after) == (target, b"old")


def test_a_password_of_the_domain_is_told_and_not_set() -> None:
    lines = ("http_proxy=http://me:pw@p", "no_proxy=local")
    found = Backups((NEW,), (Backup(NEW, (), lines),), {})
    plan = rollback.plan(found, None, healthy())
    assert plan.domain == ("no_proxy=local",)
    assert "http_proxy" in plan.notes[0]
    assert "pw" not in plan.notes[0]


def test_a_variable_that_was_not_there_is_named_without_a_value() -> None:
    lines = ("NO_PROXY=corp.example", "no_proxy")
    found = Backups((NEW,), (Backup(NEW, (), lines),), {})
    assert rollback.plan(found, None, healthy()).domain == lines


def test_that_there_is_nothing_to_put_back_is_explained() -> None:
    assert rollback.nothing(Backups((), (), {})) == "no run has changed anything here"
    found = made((NEW, []), now={})
    assert NEW in rollback.nothing(found)
    assert OLD in rollback.nothing(found), "where else to go"
    assert OLD not in rollback.nothing(made((NEW, []), (OLD, []), now={})).partition(";")[2]
