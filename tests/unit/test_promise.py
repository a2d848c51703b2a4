from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet import memory, memory_table, promise
from clawfleet.memory import GIB
from clawfleet.plan import Trouble
from clawfleet.snapshot import Listener, Model, Process, Snapshot
from tests.unit.factory import HOME, NEW, bare, equipped, file, settings, trouble_is_useful

WIDE = {"context_window": 131072}
NO_NUM_CTX = "2026.2.12"
BY_HAND = Listener(11434, (Process(7, 1, 9, "/Users/mac/ollama serve"),))


def mac(gigabytes: int = 32, version: str = NEW, **more: Any) -> Snapshot:
    return replace(equipped(version), memory=gigabytes * GIB, **more)


def app(gigabytes: int = 32, version: str = NEW, **more: Any) -> Snapshot:
    """The same with Ollama.app, whose cache is not small."""
    server = Process(7, 1, 9, "/Applications/Ollama.app/Contents/Resources/ollama serve")
    fields: dict[str, Any] = {
        "ollama_formula": None,
        "ollama_app": "/Applications/Ollama.app",
        "ollama_app_version": "0.32.3",
        "ollama_port": Listener(11434, (server,)),
    }
    return mac(gigabytes, version, **(fields | more))


def promised(snapshot: Snapshot, **wished: Any) -> list[int]:
    return [each.tokens for each in promise.plan(snapshot, settings(**wished)).models]


@pytest.mark.parametrize(
    ("snapshot", "wished", "expected"),
    [
        (mac(), {}, [32768, 32768]),
        (mac(), WIDE, [131072, 61440]),
        (mac(), {"context_window": 50000}, [50000, 50000]),
        (mac(36), WIDE, [131072, 114688]),
        (mac(48), WIDE, [131072, 131072]),
        (mac(128), {"context_window": 300000}, [131072, 262144]),
        # what the least of the version is raises a wish, also of one model
        (mac(), {"context_window": 4096}, [32768, 32768]),
        (mac(version="2026.6.11"), {}, [49152, 49152]),
        # the variables of the service count, wherever they come from
        (mac(), WIDE | {"ollama_environment": {"OLLAMA_KV_CACHE_TYPE": "q4_0"}}, [131072, 110592]),
        (
            mac(ollama_env=file(f"{HOME}/x", "OLLAMA_KV_CACHE_TYPE=q4_0\nOLLAMA_NUM_PARALLEL=2\n")),
            WIDE,
            [131072, 53248],
        ),
        (mac(), WIDE | {"ollama_environment": {"OLLAMA_NUM_PARALLEL": "1"}}, [131072, 61440]),
        # the app's cache is f16, unless somebody has told launchd something else
        (app(), WIDE, [131072, 32768]),
        (
            app(
                gui_environment={
                    "OLLAMA_KV_CACHE_TYPE": "q8_0",
                    "OLLAMA_FLASH_ATTENTION": "1",
                }
            ),
            WIDE,
            [131072, 61440],
        ),
        # of a server that runs, its own variables where they can be seen
        (app(ollama_variables={"OLLAMA_KV_CACHE_TYPE": "q8_0"}), WIDE, [131072, 61440]),
        (app(ollama_variables={}, gui_environment=memory.SERVICE), WIDE, [131072, 32768]),
        (mac(ollama_port=BY_HAND), WIDE, [131072, 32768]),
        (
            mac(ollama_port=BY_HAND, ollama_variables=dict(memory.SERVICE)),
            WIDE,
            [131072, 61440],
        ),
        (mac(wired_limit=28672), WIDE, [131072, 131072]),
        # nothing is known, so nothing is lowered
        (mac(arch="x86_64"), WIDE, [131072, 131072]),
        (replace(mac(), memory=0), WIDE, [131072, 131072]),
    ],
)
def test_what_is_promised(snapshot: Snapshot, wished: dict[str, Any], expected: list[int]) -> None:
    assert promised(snapshot, **wished) == expected


def test_a_mac_without_ollama_is_planned_as_it_will_be() -> None:
    assert promised(bare(), **WIDE) == [131072, 61440]
    assert promised(bare(), ollama_install="cask", **WIDE) == [131072, 32768]


def test_where_no_request_names_a_context_the_server_has_one_for_all() -> None:
    plan = promise.plan(mac(version=NO_NUM_CTX), settings(**WIDE))
    assert not plan.per_request
    assert [each.tokens for each in plan.models] == [61440, 61440]
    assert plan.server == 61440
    assert plan.models[0].why == (
        "131072 wished; 61440, as OpenClaw 2026.2.12 names no context: the server has one for all"
    )
    assert plan.models[1].why == (
        "131072 wished; 61440 fits into 22.9 GB beside 18.6 GB of weights"
    )


def test_a_context_length_of_the_users_own_bounds_what_the_server_decides() -> None:
    given = {"ollama_environment": {"OLLAMA_CONTEXT_LENGTH": "40960"}}
    assert promised(mac(version=NO_NUM_CTX), **WIDE, **given) == [40960, 40960]
    assert promised(mac(), **WIDE, **given) == [131072, 61440]
    few = {"ollama_environment": {"OLLAMA_CONTEXT_LENGTH": "8192"}}
    with pytest.raises(Trouble) as caught:
        promised(mac(version=NO_NUM_CTX), **few)
    trouble_is_useful(caught.value, "OLLAMA_CONTEXT_LENGTH is 8192", "32768", "ollama_environment")


def test_the_server_gets_the_largest_where_requests_name_theirs() -> None:
    plan = promise.plan(mac(), settings(**WIDE))
    assert plan.per_request
    assert plan.server == 131072


def one(name: str, **more: Any) -> dict[str, Any]:
    return {
        "models": [{"id": name, **more}],
        "primary": f"ollama/{name}",
        "fallbacks": [],
    }


@pytest.mark.parametrize(
    ("snapshot", "wished", "words"),
    [
        (
            mac(8),
            {},
            ["gpt-oss:20b does not fit", "14.8 GB", "13.8 GB", "5.7 GB", "at most 4.2 GB"],
        ),
        (
            mac(24),
            {},
            [
                "qwen3-coder does not fit",
                "only gpt-oss:20b in `models`",
                "at most 14.5 GB of weights",
            ],
        ),
        # one step of cache is enough, and is reckoned
        (
            mac(version="2026.6.11"),
            {"ollama_environment": {"OLLAMA_KV_CACHE_TYPE": "f16"}},
            ['"OLLAMA_KV_CACHE_TYPE": "q8_0"} (61440 tokens fit)', 'openclaw_version = "2026.9.6"'],
        ),
        (
            app(version="2026.6.11"),
            {},
            ["Homebrew's formula in its place: its cache is q8_0 (61440 tokens fit)"],
        ),
        (
            mac(),
            {"ollama_environment": {"OLLAMA_NUM_PARALLEL": 4}},
            ['{"OLLAMA_NUM_PARALLEL": 1} (61440 tokens fit)'],
        ),
        (app(version="2026.6.11"), {}, ["until its next start: sudo sysctl iogpu.wired_limit_mb="]),
        (
            mac(16, models=(Model("mistral:7b", "sha256:3", 4_100_000_000),)),
            one("gpt-oss:20b", size=13_793_441_244),
            ["mistral:7b, already there"],
        ),
    ],
)
def test_a_model_that_does_not_fit_stops_the_mac_with_the_choices_that_can(
    snapshot: Snapshot, wished: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Trouble) as caught:
        promise.plan(snapshot, settings(**wished))
    trouble_is_useful(caught.value, *words)


def test_the_choices_that_are_named_really_fit() -> None:
    """The limit and the weights that a Trouble names: with these there is none, beyond there is."""
    snapshot = app(version="2026.6.11")
    with pytest.raises(Trouble) as caught:
        promise.plan(snapshot, settings())
    limit = int(re.findall(r"wired_limit_mb=(\d+)", caught.value.fix)[0])
    weights = round(1e9 * float(re.findall(r"at most ([\d.]+) GB of weights", caught.value.fix)[0]))
    assert promised(replace(snapshot, wired_limit=limit)) == [49152, 49152]
    with pytest.raises(Trouble):
        promise.plan(replace(snapshot, wired_limit=limit - 1), settings())
    shape = mac().models[1].architecture
    small = (Model("qwen3-coder:latest", "", weights - 50_000_000, shape),)
    assert promised(replace(snapshot, models=small)) == [49152, 49152]
    large = (Model("qwen3-coder:latest", "", weights + 50_000_000, shape),)
    with pytest.raises(Trouble):
        promise.plan(replace(snapshot, models=large), settings())


def test_a_model_that_was_trained_for_less_than_openclaw_needs() -> None:
    shape = mac().models[0].architecture
    assert shape
    there = (Model("old:latest", "", 10**9, replace(shape, trained=8192)),)
    with pytest.raises(Trouble) as caught:
        promise.plan(mac(models=there), settings(**one("old")))
    trouble_is_useful(caught.value, "old was trained for 8192 tokens", "32768", "`models`")


def test_a_model_of_which_nothing_is_known_is_decided_after_the_pull() -> None:
    plan = promise.plan(bare(), settings(**one("team/new:1b"), **WIDE))
    assert [each.tokens for each in plan.models] == [131072]
    assert plan.models[0].verdict == "not known"
    assert promise.undecided(plan) == ["team/new:1b"]
    assert promise.undecided(promise.plan(bare(), settings())) == []
    assert promise.undecided(promise.plan(mac(arch="x86_64"), settings())) == []


def test_the_store_tells_more_than_the_settings() -> None:
    twice = (replace(mac().models[1], size=20_000_000_000),)
    plan = promise.plan(mac(models=twice), settings(**one("qwen3-coder", size=1), **WIDE))
    assert plan.models[0].load.weights == 20_000_000_000
    # A server that does not run tells names only.
    silent = (Model("qwen3-coder:latest", "", 0),)
    plan = promise.plan(mac(models=silent), settings(**WIDE))
    assert [each.tokens for each in plan.models] == [131072, 61440]


@pytest.mark.parametrize(
    ("snapshot", "wished", "verdicts"),
    [
        (mac(), {}, ["fits alone", "fits alone"]),
        (mac(48), {}, ["fits", "fits"]),
        (mac(48), WIDE, ["fits alone", "fits alone"]),
        (mac(), one("gpt-oss:20b"), ["fits"]),
        (mac(24), {}, ["fits alone", "does not fit"]),
        (mac(arch="x86_64"), {}, ["no GPU", "no GPU"]),
        (replace(mac(), memory=0), {}, ["not known", "not known"]),
        (
            mac(48),
            {"ollama_environment": {"OLLAMA_MAX_LOADED_MODELS": 1}},
            ["fits alone", "fits alone"],
        ),
    ],
)
def test_verdicts(snapshot: Snapshot, wished: dict[str, Any], verdicts: list[str]) -> None:
    plan = promise.weigh(snapshot, settings(**wished))
    assert [each.verdict for each in plan.models] == verdicts


def table(snapshot: Snapshot, **wished: Any) -> str:
    chosen = settings(**wished)
    return "\n".join(memory_table.lines(snapshot, chosen, promise.weigh(snapshot, chosen)))


def test_the_table_before_anything_is_pulled() -> None:
    assert (
        table(bare(), **WIDE)
        == """\
model        weights  context           memory  verdict     to transfer
gpt-oss:20b  13.8 GB  131072           16.4 GB  fits alone      13.8 GB
qwen3-coder  18.6 GB  131072 -> 61440  22.3 GB  fits alone      18.6 GB
GPU: 22.9 GB, 0.5 GB of it stays free; cache q8_0
they do not stay in memory together: each fallback is a reload
disk: 200.0 GB free, 167.6 GB after the pull
qwen3-coder: 131072 wished; 61440 fits into 22.9 GB beside 18.6 GB of weights"""
    )


@pytest.mark.parametrize(
    ("snapshot", "wished", "words"),
    [
        (mac(24), {}, ["32768 -> none  20.7 GB  does not fit"]),
        (mac(), {}, ["32768    14.8 GB  fits alone            -"]),
        (mac(48), {}, ["GPU: 38.7 GB"]),
        (mac(arch="x86_64"), {}, ["an Intel Mac: Ollama has no GPU there", "no GPU"]),
        (replace(mac(), memory=0), {}, ["does not tell its memory"]),
        (mac(wired_limit=24576), {}, ["GPU: 25.8 GB, as iogpu.wired_limit_mb says"]),
        (mac(48, ollama_env=file("/x", "OLLAMA_NUM_PARALLEL=2\n")), {}, [", 2 requests at once"]),
        (
            bare(),
            one("team/new:1b"),
            [
                "team/new:1b  not known  32768    not known  not known    not known",
                "what team/new:1b needs is not known before it is there",
                "200.0 GB after the pull, less what is not known",
            ],
        ),
    ],
)
def test_what_the_table_says(snapshot: Snapshot, wished: dict[str, Any], words: list[str]) -> None:
    text = table(snapshot, **wished)
    for word in words:
        assert word in text, text
    assert max(len(line) for line in text.splitlines()) <= 94, text


def test_where_both_fit_no_reload_is_announced() -> None:
    assert "reload" not in table(mac(48))
    assert "reload" not in table(mac(), **one("gpt-oss:20b"))
    assert "reload" not in table(mac(24))


@given(
    gigabytes=st.integers(8, 192),
    wish=st.integers(4096, 300_000),
    slots=st.integers(1, 8),
    cache=st.sampled_from(["f16", "q8_0", "q4_0"]),
    version=st.sampled_from(["2026.2.12", "2026.2.17", "2026.6.11", "2026.9.6"]),
)
def test_any_promise_fits_and_any_refusal_names_a_way(
    gigabytes: int, wish: int, slots: int, cache: str, version: str
) -> None:
    variables = {"OLLAMA_KV_CACHE_TYPE": cache, "OLLAMA_NUM_PARALLEL": slots}
    chosen = settings(context_window=wish, ollama_environment=variables)
    snapshot = mac(gigabytes, version)
    plan = promise.weigh(snapshot, chosen)
    least = 49152 if version == "2026.6.11" else 32768
    if plan.obstacle:
        trouble_is_useful(plan.obstacle)
        assert any(each.verdict == "does not fit" for each in plan.models)
        return
    for each in plan.models:
        trained = each.load.architecture.trained if each.load.architecture else None
        assert least <= each.tokens <= min(max(wish, least), trained or 0)
        assert memory.fits(each.load, each.tokens, plan.limit, plan.serving)
        assert bool(each.why) == (each.tokens != wish)
    if version == "2026.2.12":
        assert len({each.tokens for each in plan.models}) == 1
