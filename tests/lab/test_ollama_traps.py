"""What surprises users of Ollama: context, memory, thinking, durations, faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.ollama_alone import Alone
from tests.lab.standins import ollama_answer, ollama_memory
from tests.lab.standins.ollama_store import seed

Json = dict[str, Any]
GIB = 1 << 30
Make = Callable[..., Alone]
GPT, QWEN = "gpt-oss:20b", "qwen3-coder:latest"
AGENT = [
    {"role": "system", "content": "You are an agent. " * 2000},
    {"role": "user", "content": "hi"},
]
"""About 36 kB, less than what an agent really sends for a short greeting."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A server with all models of the lab."""
    alone = Alone(tmp_path_factory.mktemp("mac"))
    for name in (GPT, QWEN, "tiny:latest"):
        seed(alone.store.root, name, factor=0.01)
    yield alone.serve()
    alone.stop()


@pytest.fixture
def mac(running: Alone) -> Alone:
    """The same with nothing in memory, quick and without faults."""
    running.settings(load_ms=0, first_token_ms=0, decode_tps=100_000)
    running.faults()
    for model in running.running():
        running.post("/api/generate", {"model": model, "keep_alive": 0})
    return running


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes other servers, which end with the test."""
    made: list[Alone] = []

    def one(**options: Any) -> Alone:
        mac = Alone(tmp_path / f"mac{len(made)}", **options)
        for name in (GPT, QWEN):
            seed(mac.store.root, name, factor=0.01)
        made.append(mac)
        return mac

    yield one
    for mac in made:
        mac.stop()


def chat(mac: Alone, model: str, **more: object) -> Json:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": False}
    answer: Json = mac.post("/api/chat", {**body, **more}).json()
    return answer


def sse(answer: httpx.Response) -> list[Json]:
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    return [json.loads(event) for event in events if event != "[DONE]"]


@pytest.mark.parametrize(
    ("memory", "context"),
    [(16 * GIB, 4096), (24 * GIB, 4096), (32 * GIB, 4096), (48 * GIB, 32768), (64 * GIB, 262144)],
)
def test_default_context_follows_the_memory(memory: int, context: int) -> None:
    vram = ollama_memory.gpu_memory(memory)
    assert ollama_memory.default_context(vram, by_memory=True) == context
    assert ollama_memory.default_context(vram, by_memory=False) == 4096


def test_a_mac_with_32_gb_gives_its_gpu_what_was_captured() -> None:
    assert f"{ollama_memory.gpu_memory(32 * GIB) / 1e6:.2f}" == "22906.49"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300.0), ("1h30m", 5400.0), (20, 20.0), (-1, float("inf"))],
)
def test_keep_alive_durations(text: object, seconds: float) -> None:
    assert ollama_memory.seconds(text) == seconds


@pytest.mark.parametrize("text", ["20", "-1"])
def test_seconds_as_a_text_are_for_the_variable_only(text: str) -> None:
    with pytest.raises(ValueError, match="missing unit in duration"):
        ollama_memory.seconds(text)
    assert ollama_memory.variable(text) == (20.0 if text == "20" else float("inf"))


def test_keep_alive_that_is_no_duration_is_400(mac: Alone) -> None:
    answer = mac.post("/api/generate", {"model": GPT, "keep_alive": "soon"})
    assert (answer.status_code, answer.json()["error"]) == (400, 'time: invalid duration "soon"')


def test_an_agents_prompt_is_cut_in_silence_on_32_gb(mac: Alone) -> None:
    body = {"model": QWEN, "messages": AGENT, "stream": True}
    body["stream_options"] = {"include_usage": True}
    answer = mac.post("/v1/chat/completions", body)
    assert answer.status_code == 200
    assert sse(answer)[-1]["usage"]["prompt_tokens"] == 2050
    assert mac.running()[QWEN]["context_length"] == 4096
    assert 'msg="truncating input prompt" limit=2050 ' in mac.logfile.read_text()
    last = mac.requests()[-2]
    assert (last["truncated"], last["context"]) == (True, 4096)


@pytest.mark.parametrize(
    ("version", "refused", "kept"),
    [
        ("0.16.1", "the input length exceeds the context length", 4096),
        ("0.32.3", "exceeds the available context size (4096 tokens), try increasing it", 2050),
    ],
)
def test_a_request_may_refuse_to_be_cut(make: Make, version: str, refused: str, kept: int) -> None:
    server = make(version=version).serve()
    body = {"model": QWEN, "messages": AGENT, "stream": False}
    assert server.post("/api/chat", body).json()["prompt_eval_count"] == kept
    answer = server.post("/api/chat", {**body, "truncate": False})
    assert answer.status_code == 400
    assert refused in answer.json()["error"]
    short = {**body, "messages": AGENT[1:], "truncate": False}
    assert server.post("/api/chat", short).status_code == 200


def test_a_silent_server_cuts_whatever_is_asked(mac: Alone) -> None:
    mac.faults(ollama__chat="silent")
    answer = chat(mac, QWEN, messages=AGENT, truncate=False)
    assert answer["prompt_eval_count"] == 2050


def test_the_gpus_memory_follows_the_users_limit(mac: Alone) -> None:
    options = {"num_ctx": 65536}
    chat(mac, QWEN, options=options)
    assert mac.running()[QWEN]["size_vram"] < mac.running()[QWEN]["size"]
    limit = mac.state / "wired_limit_mb"
    limit.write_text("28672\n")
    try:
        mac.post("/api/generate", {"model": QWEN, "keep_alive": 0})
        chat(mac, QWEN, options=options)
        assert mac.running()[QWEN]["size_vram"] == mac.running()[QWEN]["size"]
    finally:
        limit.unlink()


@pytest.mark.parametrize(
    ("model", "family", "layers", "heads"), [(GPT, "gptoss", 24, 8), (QWEN, "qwen3moe", 48, 4)]
)
def test_show_tells_the_shape_and_tags_the_real_size(
    mac: Alone, model: str, family: str, layers: int, heads: int
) -> None:
    info = mac.post("/api/show", {"model": model}).json()["model_info"]
    assert info["general.architecture"] == family
    assert info[f"{family}.block_count"] == layers
    assert info[f"{family}.attention.head_count_kv"] == heads
    assert info["tokenizer.ggml.tokens"] is None
    sizes = {entry["name"]: entry["size"] for entry in mac.get("/api/tags")["models"]}
    assert sizes[model] == {GPT: 13_793_441_244, QWEN: 18_556_688_736}[model]


def test_num_ctx_of_a_v1_request_is_dropped(mac: Alone) -> None:
    body = {"model": GPT, "messages": AGENT, "options": {"num_ctx": 65536}, "num_ctx": 65536}
    assert mac.post("/v1/chat/completions", body).status_code == 200
    assert mac.running()[GPT]["context_length"] == 4096


@pytest.mark.parametrize("asked", [65536, 10**6])
def test_num_ctx_of_a_native_request_counts_up_to_the_trained_one(mac: Alone, asked: int) -> None:
    answer = chat(mac, GPT, messages=AGENT, options={"num_ctx": asked})
    assert answer["prompt_eval_count"] > 4096
    assert mac.running()[GPT]["context_length"] == min(asked, 131072)


def test_old_messages_go_before_the_prompt_is_cut() -> None:
    from tests.lab.standins.ollama_chat import fit_messages

    old = {"role": "user", "content": "old " * 1000}
    prompt = fit_messages([AGENT[1], old, {"role": "user", "content": "new"}], "", 100)
    assert prompt == "user: new\n"
    kept = fit_messages([{"role": "system", "content": "S"}, old, AGENT[1]], "", 100)
    assert kept == "system: S\nuser: hi\n"


def test_a_cut_prompt_loses_its_head() -> None:
    kept = ollama_answer.cut("SYSTEM PROMPT AND TOOLS " * 100 + "the question", 16)
    assert ollama_answer.tokens(kept) == 16
    assert kept.endswith("the question")


def test_both_models_never_fit_together_into_32_gb(mac: Alone) -> None:
    chat(mac, GPT)
    assert list(mac.running()) == [GPT]
    chat(mac, QWEN)
    assert list(mac.running()) == [QWEN]


def test_both_models_fit_into_64_gb(make: Make) -> None:
    mac = make(memory=64 * GIB).serve(OLLAMA_CONTEXT_LENGTH="4096")
    chat(mac, GPT)
    chat(mac, QWEN)
    assert set(mac.running()) == {GPT, QWEN}


def test_too_much_context_spills_to_the_cpu(mac: Alone) -> None:
    chat(mac, QWEN, options={"num_ctx": 131072})
    model = mac.running()[QWEN]
    assert 0 < model["size_vram"] < model["size"]
    assert "CPU/GPU" in mac.cli("ps").stdout


def test_a_smaller_cache_type_lets_a_context_fit(make: Make) -> None:
    mac = make().serve(OLLAMA_KV_CACHE_TYPE="q8_0", OLLAMA_FLASH_ATTENTION="1")
    chat(mac, QWEN, options={"num_ctx": 65536})
    model = mac.running()[QWEN]
    assert model["size_vram"] == model["size"]


def test_another_context_is_a_reload_and_the_same_is_warm(mac: Alone) -> None:
    mac.settings(load_ms=50, decode_tps=100_000)

    def loads() -> int:
        return mac.logfile.read_text().count('msg="starting runner"')

    before = loads()
    assert chat(mac, GPT)["load_duration"] >= 50e6
    assert chat(mac, GPT)["load_duration"] > 0
    assert loads() == before + 1
    assert chat(mac, GPT, options={"num_ctx": 8192})["load_duration"] >= 50e6
    assert loads() == before + 2


def test_a_model_without_its_weights_is_listed_but_does_not_load(mac: Alone) -> None:
    layer = seed(mac.store.root, "tiny:latest", factor=0.01).layer("model")
    assert layer is not None
    mac.store.blob(layer["digest"]).unlink()
    try:
        assert "tiny:latest" in {model["name"] for model in mac.get("/api/tags")["models"]}
        answer = mac.post("/api/generate", {"model": "tiny", "prompt": "hi"})
        assert answer.status_code == 500
        assert "no such file or directory" in answer.json()["error"]
    finally:
        seed(mac.store.root, "tiny:latest", factor=0.01)


def test_thinking_comes_before_the_content(mac: Alone) -> None:
    events = mac.lines("/api/chat", {"model": GPT, "messages": [{"role": "user", "content": "x"}]})
    kinds = ["thinking" if "thinking" in e["message"] else "content" for e in events]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[0] == "thinking"
    text = "".join(event["message"]["content"] for event in events)
    assert text == "Hello from gpt-oss:20b on mac1."
    assert events[-1]["eval_count"] == len(events) - 1


def test_reasoning_has_empty_content_in_v1(mac: Alone) -> None:
    body = {"model": GPT, "messages": [{"role": "user", "content": "x"}], "stream": True}
    deltas = [chunk["choices"][0]["delta"] for chunk in sse(mac.post("/v1/chat/completions", body))]
    reasoning = [delta for delta in deltas if "reasoning" in delta]
    assert deltas[: len(reasoning)] == reasoning
    assert {delta["content"] for delta in reasoning} == {""}


def test_gpt_oss_cannot_be_told_not_to_think(mac: Alone) -> None:
    assert chat(mac, GPT, think=False)["message"]["thinking"]
    assert "thinking" not in chat(mac, QWEN, think=False)["message"]


def test_wishes_that_a_model_cannot_meet_are_400(mac: Alone) -> None:
    assert chat(mac, QWEN, think=True)["error"] == f'"{QWEN}" does not support thinking'
    tools = [{"type": "function", "function": {"name": "f"}}]
    wanted = "registry.ollama.ai/library/tiny:latest does not support tools"
    assert chat(mac, "tiny", tools=tools)["error"] == wanted
    assert chat(mac, QWEN, tools=tools)["message"]["content"] == f"Hello from {QWEN} on mac1."


def test_a_repeated_prompt_counts_whole_but_costs_nothing(mac: Alone) -> None:
    wide = {"num_ctx": 32768}
    cold = chat(mac, GPT, messages=AGENT, options=wide)
    warm = chat(mac, GPT, messages=AGENT, options=wide)
    assert warm["prompt_eval_count"] == cold["prompt_eval_count"] > 4096
    settings = ollama_answer.Speed(prefill_tps=1000)
    assert ollama_answer.prefill("a" * 4000, "", settings) == 1.0
    assert ollama_answer.prefill("a" * 4000, "a" * 4000, settings) == 0.001
    assert ollama_answer.prefill("b" + "a" * 4000, "a" * 4000, settings) > 1.0


def test_the_length_of_an_answer_can_be_set(mac: Alone) -> None:
    mac.settings(load_ms=0, decode_tps=100_000, models={QWEN: {"answer_tokens": 40}})
    assert chat(mac, QWEN)["eval_count"] == 40


@pytest.mark.parametrize("status", [500, 404])
def test_status_faults_hit_one_model_only(mac: Alone, status: int) -> None:
    mac.faults(**{f"ollama.chat:{GPT}": str(status)})
    answer = mac.post("/api/chat", {"model": GPT, "messages": []})
    assert answer.status_code == status
    assert chat(mac, QWEN)["done"] is True


def test_reset_and_cut_end_the_connection(mac: Alone) -> None:
    body = {"model": GPT, "messages": [{"role": "user", "content": "x"}], "stream": True}
    for fault in ("reset", "cut"):
        mac.faults(ollama__chat=fault)
        with pytest.raises(httpx.TransportError):
            mac.post("/v1/chat/completions", body)


def test_an_empty_answer_is_a_success(mac: Alone) -> None:
    mac.faults(ollama__chat="empty")
    answer = chat(mac, GPT)
    assert (answer["message"]["content"], answer["done_reason"]) == ("", "stop")


def test_a_hanging_model_hangs_only_itself(mac: Alone) -> None:
    mac.faults(**{f"ollama.chat:{GPT}": "hang"})
    body = {"model": GPT, "messages": [{"role": "user", "content": "x"}]}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(mac.url + "/api/chat", json=body, timeout=0.2, trust_env=False)
    assert chat(mac, QWEN)["done"] is True


def test_the_request_log_has_no_credentials(mac: Alone) -> None:
    headers = {"Authorization": "Bearer secret-token", "User-Agent": "agent/1"}
    body = {"model": GPT, "messages": AGENT, "stream": False}
    httpx.post(mac.url + "/api/chat", json=body, headers=headers, trust_env=False)
    entry = mac.requests()[-1]
    assert (entry["path"], entry["model"], entry["user_agent"]) == ("/api/chat", GPT, "agent/1")
    assert entry["bytes"] > 36_000
    assert "secret-token" not in (mac.state / "ollama-requests.jsonl").read_text()


def test_tags_tell_capabilities_since_0_30(make: Make, mac: Alone) -> None:
    for server, told in ((make(version="0.16.1").serve(), False), (mac, True)):
        model = server.get("/api/tags")["models"][0]
        assert ("capabilities" in model) is told
        assert ("context_length" in model["details"]) is told
