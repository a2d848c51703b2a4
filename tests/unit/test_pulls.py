from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawfleet import lock
from clawfleet.plan import Trouble
from clawfleet.pulls import (
    Progress,
    Pull,
    PullError,
    Tries,
    Watch,
    check_published,
    check_room,
    explain,
    plan,
)
from clawfleet.snapshot import Snapshot, Store
from tests.unit.factory import settings, trouble_is_useful
from tests.unit.test_store import BUILD, OTHER, REWRITTEN, WEIGHTS, mac

# A pull as Ollama streams it, shortened.
STREAM: list[dict[str, Any]] = [
    {"status": "pulling manifest"},
    {"status": "pulling e7b273f96360", "digest": "sha256:e7", "total": 1000},
    {"status": "pulling e7b273f96360", "digest": "sha256:e7", "total": 1000, "completed": 400},
    {"status": "pulling fa6710a93d78", "digest": "sha256:fa", "total": 50, "completed": 50},
    {"status": "pulling e7b273f96360", "digest": "sha256:e7", "total": 1000, "completed": 1000},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]


def test_a_pull_adds_up_its_layers() -> None:
    progress = Progress()
    seen = []
    for event in STREAM:
        progress.take(event)
        seen.append((progress.completed, progress.total, progress.done))
    assert seen == [
        (0, 0, False),
        (0, 1000, False),
        (400, 1000, False),
        (450, 1050, False),
        (1050, 1050, False),
        (1050, 1050, False),
        (1050, 1050, False),
        (1050, 1050, True),
    ]


def test_a_stream_without_success_is_not_done() -> None:
    progress = Progress()
    for event in STREAM[:-1]:
        progress.take(event)
    assert not progress.done
    assert progress.status == "writing manifest"


ERRORS = [
    ("pull model manifest: file does not exist", False, "correct 'nonsense:1' in `models`"),
    ("pull model manifest: 412: \n\nrequires a newer version of Ollama.", False, "brew upgrade"),
    ("invalid model name", False, "correct 'nonsense:1'"),
    ("write /x: no space left on device", False, "make room"),
    ("unauthorized: access denied", False, "correct 'nonsense:1'"),
    ("max retries exceeded: EOF", True, "run again: the pull resumes"),
    ("digest mismatch, file must be downloaded again: want a, got b", True, "run again"),
    ('Get "https://registry.ollama.ai/v2/": dial tcp: i/o timeout', True, "pull_proxy"),
    ("proxyconnect tcp: dial tcp 127.0.0.1:9: connect: connection refused", True, "start that"),
]


@pytest.mark.parametrize(("message", "again", "fix"), ERRORS)
def test_an_error_inside_the_stream_is_an_error(message: str, again: bool, fix: str) -> None:
    progress = Progress()
    progress.take(STREAM[0])
    with pytest.raises(PullError) as caught:
        progress.take({"error": message})
    assert str(caught.value) == message
    assert caught.value.again is again
    expected, said = explain("nonsense:1", message)
    assert expected
    assert fix in said


@pytest.mark.parametrize(
    "event", [{}, {"status": None}, {"digest": "sha256:e7"}, {"status": "x", "total": 5}]
)
def test_odd_lines_break_nothing(event: dict[str, Any]) -> None:
    progress = Progress()
    progress.take(event)
    assert not progress.done
    assert progress.completed == 0


GPT_LAYER, LICENSE_LAYER = "sha256:e7", "sha256:fa"


def line(digest: str, completed: int, total: int = 100_000_000) -> dict[str, Any]:
    event = {"status": f"pulling {digest[7:]}", "digest": digest, "total": total}
    return event if completed == 0 else {**event, "completed": completed}


def test_the_rate_is_that_of_the_last_seconds_and_not_of_what_was_there() -> None:
    watch = Watch(60, 0.0)
    watch.take(line(GPT_LAYER, 40_000_000), 1.0)
    assert (watch.gained, watch.rate(1.0)) == (0, 0.0)
    for second in range(2, 12):
        watch.take(line(GPT_LAYER, 40_000_000 + 1_000_000 * (second - 1)), float(second))
    assert watch.gained == 10_000_000
    assert watch.rate(11.0) == pytest.approx(1_000_000)
    assert watch.line(11.0) == " 50 % of 100.0 MB, 1.0 MB/s, 50 s left"
    for second in range(12, 24):
        watch.take(line(GPT_LAYER, 50_000_000 + 3_000_000 * (second - 11)), float(second))
    assert watch.rate(23.0) == pytest.approx(3_000_000)
    # Nothing for five seconds: the rate falls, although no line comes.
    assert watch.rate(28.0) == pytest.approx(2_000_000)
    watch.take(line(LICENSE_LAYER, 5_000_000, 5_000_000), 23.5)
    assert watch.gained == 46_000_000
    assert watch.rate(23.5) < 3_000_001


def test_a_line_says_what_ollama_does_when_no_bytes_come() -> None:
    watch = Watch(60, 0.0)
    assert watch.line(0.5) == "waiting for the first line"
    watch.take({"status": "pulling manifest"}, 1.0)
    assert watch.line(1.0) == "pulling manifest"
    watch.take(line(GPT_LAYER, 100_000_000), 2.0)
    assert watch.line(2.0) == "100 % of 100.0 MB, 0.0 MB/s"
    watch.take({"status": "verifying sha256 digest"}, 3.0)
    assert watch.line(3.0) == "verifying sha256 digest"


Story = list[tuple[float, dict[str, Any] | None]]
"""What comes when; None: nothing, only a look."""
STILL = line(GPT_LAYER, 5)
SILENCES: list[tuple[str, Story, str | None]] = [
    ("no line at all", [(60.5, None)], "nothing after 'waiting for the first line' for 60 s"),
    ("in time", [(59.5, None)], None),
    (
        "the manifest hangs",
        [(1.0, {"status": "pulling manifest"}), (62.0, None)],
        "nothing after 'pulling manifest' for 61 s",
    ),
    (
        "before the first byte, with lines",
        [(float(at), line(GPT_LAYER, 0)) for at in range(1, 63)],
        "no byte for 61 s",
    ),
    ("in the middle, with lines", [(float(at), STILL) for at in range(1, 63)], "no byte for 61 s"),
    ("in the middle, without", [(1.0, STILL), (61.5, None)], "no byte for 60 s"),
    ("a byte now and then", [(50.0 * n, line(GPT_LAYER, n)) for n in range(1, 9)], None),
    (
        "the sha256 of 18 GB",
        [(1.0, line(GPT_LAYER, 9)), (2.0, {"status": "verifying sha256 digest"}), (600.0, None)],
        None,
    ),
    (
        "a sha256 that never ends",
        [(1.0, line(GPT_LAYER, 9)), (2.0, {"status": "verifying sha256 digest"}), (903.0, None)],
        "no byte for 901 s",
    ),
    ("all is done", [(1.0, {"status": "success"}), (999.0, None)], None),
]


@pytest.mark.parametrize(
    ("story", "said"), [row[1:] for row in SILENCES], ids=[row[0] for row in SILENCES]
)
def test_silence_is_ended(story: Story, said: str | None) -> None:
    watch = Watch(60, 0.0)
    found = None
    for now, event in story:
        try:
            if event is not None:
                watch.take(event, now)
            watch.check(now)
        except PullError as error:
            found = str(error) if error.again else "final"
            break
    assert found == said


CUT, DAMAGED = PullError("EOF", again=True), PullError("digest mismatch, file must be", again=True)


@pytest.mark.parametrize(
    ("story", "pauses"),
    [
        ([(CUT, 0)] * 4, [2.0, 4.0, 8.0, None]),
        ([(PullError("unauthorized", again=False), 10**9)], [None]),
        # A line that is cut again and again, but brings something each time, is not given up.
        ([(CUT, 10**6)] * 6, [2.0] * 6),
        ([(CUT, 0), (CUT, 0), (CUT, 10**6), (CUT, 0)], [2.0, 4.0, 2.0, 4.0]),
        ([(CUT, 10**6 - 1)] * 4, [2.0, 4.0, 8.0, None]),
        ([(DAMAGED, 10**10)] * 4, [2.0, 4.0, 8.0, None]),
    ],
)
def test_tries_are_bounded_by_what_they_bring(
    story: list[tuple[PullError, int]], pauses: list[float | None]
) -> None:
    tries = Tries()
    assert [tries.pause(error, gained, 1.0) for error, gained in story] == pauses


def test_pauses_of_many_macs_are_spread() -> None:
    pauses = [Tries().pause(CUT, 0, chance / 10) for chance in range(11)]
    assert len(set(pauses)) == 11
    assert (min(filter(None, pauses)), max(filter(None, pauses))) == (1.0, 2.0)


GB = 10**9
LOCKED = lock.Lock({"gpt-oss:20b": BUILD})


def due(snapshot: Snapshot, chosen: lock.Lock | None = None, **more: Any) -> list[Pull]:
    models = [{"id": "gpt-oss:20b", "size": 999}]
    return plan(snapshot, settings(models=models, fallbacks=[], **more), chosen)


def test_what_is_to_be_pulled_and_why() -> None:
    assert due(mac()) == due(mac(), LOCKED) == []
    (absent,) = due(mac(None, listed=False))
    assert (absent.kind, absent.size, absent.to_fetch, absent.locked) == ("absent", 999, 999, None)
    assert absent.lines() == ["Will pull gpt-oss:20b (0.0 MB)"]
    (locked,) = due(mac(None, listed=False, a=-1, b=-1, c=-1), LOCKED)
    assert (locked.size, locked.to_fetch, locked.locked) == (1057, 1057, BUILD)
    (broken,) = due(mac(a=999))
    assert (broken.kind, broken.to_fetch, dict(broken.aside)) == ("broken", 1000, {WEIGHTS: 999})
    assert "is put aside first: Ollama would take it for whole" in broken.lines()[1]
    # Left by whatever, and part of the build that shall come: Ollama would not fetch it.
    (left,) = due(mac(None, listed=False, a=5), LOCKED)
    assert (left.kind, dict(left.aside)) == ("absent", {WEIGHTS: 5})
    assert "is put aside first" in left.lines()[-1]
    (outdated,) = due(mac(), lock.Lock({"gpt-oss:20b": OTHER}))
    assert (outdated.kind, outdated.had, outdated.locked) == ("outdated", BUILD, OTHER)
    assert f"Ollama then deletes what only build {BUILD.short} uses" in outdated.lines()[-1]


def test_what_a_cut_pull_brought_is_not_fetched_again() -> None:
    there = replace(mac(None, listed=False), store=Store("/m", {}, {}, {WEIGHTS: 400}))
    assert [pull.to_fetch for pull in (*due(there), *due(there, LOCKED))] == [599, 657]
    big = Pull("m", "absent", size=14 * GB, to_fetch=4 * GB)
    assert big.lines() == ["Will pull m (4.0 GB of 14.0 GB)"]
    assert replace(big, to_fetch=14 * GB - 1000).lines() == ["Will pull m (14.0 GB)"]
    assert replace(big, size=None, to_fetch=None).lines() == ["Will pull m"]


def test_what_a_cut_copy_brought_counts_where_copies_go_on() -> None:
    store = Store("/m", {}, {}, {WEIGHTS: 100}, {WEIGHTS: 400})
    there = replace(mac(None, listed=False), store=store)
    for chosen, none, lan in ((None, 899, 499), (LOCKED, 957, 657)):
        for way, expected in (("none", none), ("lan", lan)):
            (pull,) = due(there, chosen, distribution=way)
            assert pull.to_fetch == expected


ROOM = [
    (None, 18 * GB, {}, False),
    (187 * GB, None, {}, False),
    (21 * GB, 18 * GB, {}, False),
    (21 * GB, 18 * GB, {WEIGHTS: 17 * GB}, False),
    (4 * GB, 18 * GB, {WEIGHTS: 17 * GB}, True),
    (4 * GB, 18 * GB, {WEIGHTS: 4 * GB}, None),
    (20 * GB, 18 * GB, {}, None),
]


@pytest.mark.parametrize(("free", "needed", "aside", "drop"), ROOM)
def test_room_on_the_disk(
    free: int | None, needed: int | None, aside: dict[str, int], drop: bool | None
) -> None:
    pull = Pull("m", "broken", aside=aside, to_fetch=needed)
    snapshot = replace(mac(), disk_free=free)
    if drop is not None:
        assert check_room([pull], snapshot) is drop
        return
    with pytest.raises(Trouble) as stopped:
        check_room([pull], snapshot)
    trouble_is_useful(stopped.value, f"{(free or 0) / 1e9:.1f} GB free", "20.1 GB: 18.0 GB for m")


def test_room_for_all_models_of_a_mac_together() -> None:
    pulls = [Pull("m", "absent", to_fetch=13 * GB), Pull("n", "broken", to_fetch=18 * GB)]
    assert not check_room(pulls, replace(mac(), disk_free=34 * GB))
    with pytest.raises(Trouble, match=r"33\.0 GB free") as stopped:
        check_room(pulls, replace(mac(), disk_free=33 * GB))
    trouble_is_useful(stopped.value, "33.1 GB: 31.0 GB for m, n and 2.1 GB to spare")


def test_another_build_than_the_locked_one_is_not_pulled() -> None:
    outdated = Pull("m", "outdated", had=OTHER, locked=BUILD)
    check_published(outdated, BUILD, "mac1")
    check_published(outdated, REWRITTEN, "mac1")
    check_published(replace(outdated, locked=None), OTHER, "mac1")
    with pytest.raises(Trouble) as stopped:
        check_published(outdated, OTHER, "mac1")
    trouble_is_useful(
        stopped.value,
        f"build {OTHER.short} is published now, models.lock has {BUILD.short}",
        f"this Mac has {OTHER.short}",
        "bring it from a Mac that has it",
        "delete m in models.lock",
        "--data lock_from=mac1",
    )
    with pytest.raises(Trouble) as stopped:
        check_published(Pull("m", "absent", locked=BUILD), OTHER, "mac1")
    trouble_is_useful(stopped.value, "this Mac has none")
    assert "lock_from" not in stopped.value.fix
