"""The API, as any Ollama must answer it: the stand-in, and a real one where there is one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.ollama_alone import Alone
from tests.lab.ollama_real import ENV, RealOllama, load_tiny, real_ollama

Json = dict[str, Any]
MODEL = "cycle:latest"
LONG = "word " * 4000


SERVERS = ["stand-in", "real"] if real_ollama() else ["stand-in"]


@pytest.fixture(scope="module", params=SERVERS)
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a server that holds one tiny model made from a GGUF file."""
    folder: Path = tmp_path_factory.mktemp("ollama")
    server: Alone | RealOllama
    if request.param == "real":
        server = RealOllama(real_ollama() or "", folder)
    else:
        server = Alone(folder).serve(OLLAMA_CONTEXT_LENGTH="2048")
    try:
        load_tiny(server.url, MODEL)
        with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as client:
            yield client
    finally:
        server.stop()


def test_the_real_binary_is_an_ollama() -> None:
    binary = real_ollama()
    if binary is None:
        pytest.skip(f"{ENV} names no ollama binary: this file ran against the stand-in only")
    shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    assert "version is" in shown.stdout


def lines(answer: httpx.Response) -> list[Json]:
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def test_root_says_that_it_runs(api: httpx.Client) -> None:
    assert api.get("/").text == "Ollama is running"
    assert api.head("/").status_code == 200


def test_version_is_a_dotted_number(api: httpx.Client) -> None:
    version = api.get("/api/version").json()["version"]
    assert len(version.split(".")) >= 3


def test_unknown_path_is_404(api: httpx.Client) -> None:
    assert api.get("/api/nothing").status_code == 404


def test_tags_list_names_with_their_tag_and_a_bare_digest(api: httpx.Client) -> None:
    (model,) = api.get("/api/tags").json()["models"]
    assert model["name"] == model["model"] == MODEL
    assert len(model["digest"]) == 64
    assert model["size"] > 400_000
    assert model["details"]["format"] == "gguf"
    assert model["details"]["family"] == "llama"


def test_show_tells_the_trained_context(api: httpx.Client) -> None:
    shown = api.post("/api/show", json={"model": "cycle"}).json()
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["model_info"]["llama.context_length"] == 8192
    assert "completion" in shown["capabilities"]


@pytest.mark.parametrize("path", ["/api/show", "/api/chat", "/api/generate"])
def test_absent_model_is_404(api: httpx.Client, path: str) -> None:
    answer = api.post(path, json={"model": "absent", "messages": [], "prompt": "hi"})
    assert answer.status_code == 404
    assert answer.json() == {"error": "model 'absent' not found"}


def test_absent_model_in_openai_shape(api: httpx.Client) -> None:
    body = {"model": "absent", "messages": [{"role": "user", "content": "hi"}]}
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"
    assert answer.json()["error"]["message"] == "model 'absent' not found"


def test_chat_streams_pieces_and_ends_with_durations(api: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "x"}],
        "options": {"num_predict": 3},
    }
    answer = api.post("/api/chat", json=body)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    *pieces, last = lines(answer)
    assert pieces
    assert all(piece["done"] is False for piece in pieces)
    assert all(piece["message"]["role"] == "assistant" for piece in pieces)
    assert last["done"] is True
    assert last["done_reason"] == "length"
    assert last["eval_count"] == 3
    assert last["prompt_eval_count"] > 0
    assert last["total_duration"] >= last["load_duration"] > 0
    assert {"prompt_eval_duration", "eval_duration"} <= set(last)


def test_chat_without_a_stream_is_one_object(api: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "x"}],
        "stream": False,
        "options": {"num_predict": 2},
    }
    answer = api.post("/api/chat", json=body).json()
    assert answer["done"] is True
    assert answer["message"]["content"]
    assert answer["model"] == MODEL


def test_generate_loads_and_unloads(api: httpx.Client) -> None:
    loaded = api.post("/api/generate", json={"model": MODEL, "keep_alive": -1}).json()
    assert (loaded["done"], loaded["done_reason"]) == (True, "load")
    (model,) = api.get("/api/ps").json()["models"]
    assert model["name"] == MODEL
    assert model["expires_at"] > "2200"
    assert 0 <= model["size_vram"] <= model["size"]
    unloaded = api.post("/api/generate", json={"model": MODEL, "keep_alive": 0}).json()
    assert unloaded["done_reason"] == "unload"


def test_ps_shows_the_context_of_the_last_request(api: httpx.Client) -> None:
    body = {"model": MODEL, "keep_alive": "5m"}
    api.post("/api/generate", json=body)
    assert api.get("/api/ps").json()["models"][0]["context_length"] == 2048
    api.post("/api/generate", json={**body, "options": {"num_ctx": 1024}})
    assert api.get("/api/ps").json()["models"][0]["context_length"] == 1024


def test_a_derived_model_has_its_own_context(api: httpx.Client) -> None:
    body = {"model": "wide", "from": MODEL, "parameters": {"num_ctx": 4096}, "stream": False}
    assert api.post("/api/create", json=body).json() == {"status": "success"}
    try:
        assert "num_ctx" in api.post("/api/show", json={"model": "wide"}).json()["parameters"]
        api.post("/api/generate", json={"model": "wide"})
        running = api.get("/api/ps").json()["models"]
        assert [model["context_length"] for model in running] == [4096]
    finally:
        assert api.request("DELETE", "/api/delete", json={"model": "wide"}).status_code == 200
    assert [model["name"] for model in api.get("/api/tags").json()["models"]] == [MODEL]


def test_a_prompt_too_long_is_cut_in_silence(api: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": LONG}],
        "stream": False,
        "options": {"num_ctx": 512, "num_predict": 1},
    }
    answer = api.post("/api/chat", json=body)
    assert answer.status_code == 200
    assert answer.json()["prompt_eval_count"] <= 512


def test_truncate_false_tells_that_a_prompt_is_too_long(api: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": LONG}],
        "truncate": False,
        "options": {"num_ctx": 512, "num_predict": 1},
    }
    answer = api.post("/api/chat", json=body)
    assert answer.status_code == 400
    # Ollama's own words until v0.30, then llama-server's.
    said = answer.json()["error"]
    assert "exceeds the context length" in said or "exceeds the available context size" in said


def test_openai_stream_ends_with_usage_and_done(api: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 3,
    }
    answer = api.post("/v1/chat/completions", json=body)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    *chunks, finish, usage = [json.loads(event) for event in events]
    assert chunks
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert finish["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 3


def test_openai_answer_without_a_stream(api: httpx.Client) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    answer = api.post("/v1/chat/completions", json=body).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["total_tokens"] == (
        answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    )


def test_openai_models(api: httpx.Client) -> None:
    listed = api.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [MODEL]


def test_copy_and_delete(api: httpx.Client) -> None:
    copied = api.post("/api/copy", json={"source": "cycle", "destination": "other:1"})
    assert copied.status_code == 200
    names = {model["name"] for model in api.get("/api/tags").json()["models"]}
    assert names == {MODEL, "other:1"}
    assert api.request("DELETE", "/api/delete", json={"model": "other:1"}).status_code == 200
    assert api.request("DELETE", "/api/delete", json={"model": "other:1"}).status_code == 404


def test_a_blob_is_checked_when_it_is_uploaded(api: httpx.Client) -> None:
    wrong = "sha256:" + "0" * 64
    assert api.head(f"/api/blobs/{wrong}").status_code == 404
    answer = api.post(f"/api/blobs/{wrong}", content=b"something else")
    assert answer.status_code == 400
    assert "digest mismatch" in answer.json()["error"]


def test_bad_requests_are_400(api: httpx.Client) -> None:
    assert api.post("/api/chat", content=b"").status_code == 400
    assert api.post("/api/chat", content=b"{").status_code == 400
    assert api.post("/api/pull", json={"model": "a b"}).status_code == 400
