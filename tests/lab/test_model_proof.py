"""The proof of a model's context, against a stand-in server without the rest of a Mac."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from clawfleet import promise
from clawfleet.operations import model_proof
from clawfleet.plan import Trouble
from clawfleet.run import MacRun
from clawfleet.snapshot import Snapshot
from tests.lab.ollama_alone import Alone
from tests.lab.standins.ollama_store import seed
from tests.unit.factory import equipped, settings

Results = dict[str, tuple[bool, str, str]]
Make = Callable[..., Alone]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a server with both models; its environment in capitals."""
    made: list[Alone] = []

    def one(version: str = "0.32.3", **environment: str) -> Alone:
        server = Alone(tmp_path / f"mac{len(made)}", version=version)
        for name in ("gpt-oss:20b", "qwen3-coder:latest"):
            seed(server.store.root, name, factor=0.01)
        made.append(server)
        return server.serve(**environment)

    yield one
    for server in made:
        server.stop()


def prove(
    server: Alone,
    *,
    openclaw: str = "2026.9.6",
    renewed: bool = True,
    snapshot: Snapshot | None = None,
    **wished: Any,
) -> tuple[Results, list[dict[str, Any]]]:
    """What every check said (well, its text, what fixes it), and the data for the report."""
    said: Results = {}
    mac = SimpleNamespace(
        settings=settings(**wished),
        snapshot=snapshot or equipped(openclaw),
        renewed=["Ollama's server"] if renewed else [],
        run="20261128-000000-abcd",
        results={},
    )

    def layer(name: str, check: Callable[[], str], how: str) -> bool:
        try:
            said[name] = (True, check(), how)
        except (Trouble, ValueError, httpx.HTTPError) as error:
            fix = error.fix if isinstance(error, Trouble) else ""
            said[name] = (False, str(error), fix or how)
        return said[name][0]

    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as http:
        latencies = model_proof.prove(cast("MacRun", mac), http, layer, 0.1)
    chats = [name for name, (well, _, _) in said.items() if "chat" in name and well]
    assert len(latencies) == len(chats) * (3 if wished.get("verify") == "full" else 1)
    return said, mac.results["context"]


def test_what_is_promised_is_served_and_read_whole(make: Make) -> None:
    server = make(OLLAMA_KV_CACHE_TYPE="q8_0", OLLAMA_FLASH_ATTENTION="1")
    said, proofs = prove(server, context_window=65536)
    assert all(well for well, _, _ in said.values()), said
    gpt, qwen = proofs
    assert (gpt["promised"], gpt["allocated"], gpt["on_gpu"]) == (65536, 65536, 1.0)
    assert (qwen["promised"], qwen["allocated"], qwen["after"]) == (61440, 61440, "gpt-oss:20b")
    for proof in proofs:
        assert proof["promised"] - 40 <= proof["whole"] < proof["promised"]
        assert proof["promised"] < proof["refused"] <= proof["promised"] + 40
        assert proof["load_seconds"] is not None
    # Nothing was loaded twice: every request of a model names one context.
    assert server.logfile.read_text().count('msg="starting runner"') == 2


def test_without_a_change_no_full_prompt_is_sent(make: Make) -> None:
    server = make()
    said, proofs = prove(server, renewed=False)
    assert said["context gpt-oss:20b"][1].startswith("context 32768 served; 32")
    assert (
        "a full one not sent again (nothing changed in this run" in said["context gpt-oss:20b"][1]
    )
    assert [proof["whole"] for proof in proofs] == [None, None]
    longest = max(
        entry["prompt_tokens"]
        for entry in server.requests()
        if "prompt_tokens" in entry and not entry["truncated"]
    )
    assert longest < 4096
    _, proofs = prove(server, renewed=False, verify="full")
    assert all(proof["whole"] for proof in proofs)


@pytest.mark.parametrize("version", ["0.16.1", "0.32.3"])
def test_a_server_with_its_own_context_is_found(make: Make, version: str) -> None:
    """As Ollama.app 0.16.1 starts its server whatever the environment says."""
    server = make(version, OLLAMA_CONTEXT_LENGTH="4096")
    old = equipped("2026.2.12")
    process = replace(
        old.ollama_port.processes[0],
        command="/Applications/Ollama.app/Contents/Resources/ollama serve",
    )
    app = replace(old, ollama_port=replace(old.ollama_port, processes=(process,)))
    said, proofs = prove(server, snapshot=app)
    well, text, fix = said["context gpt-oss:20b"]
    assert (well, text) == (False, "32768 tokens are promised to OpenClaw, 4096 are served")
    assert "settings of Ollama.app" in fix
    assert proofs[0]["allocated"] == 4096
    # Requests that name their context are served by the same server.
    said, _ = prove(server, openclaw="2026.2.17")
    assert all(well for well, _, _ in said.values()), said


@pytest.mark.parametrize(
    ("owner", "word"),
    [
        ("/opt/homebrew/opt/ollama/bin/ollama serve", "Homebrew 6"),
        ("/somewhere/ollama serve", "start that server with OLLAMA_CONTEXT_LENGTH=32768"),
    ],
)
def test_what_fixes_it_goes_by_the_owner(make: Make, owner: str, word: str) -> None:
    old = equipped("2026.2.12")
    process = replace(old.ollama_port.processes[0], command=owner)
    snapshot = replace(old, ollama_port=replace(old.ollama_port, processes=(process,)))
    said, _ = prove(make(), snapshot=snapshot)
    assert word in said["context gpt-oss:20b"][2]
    assert "2026.2.17" in said["context gpt-oss:20b"][2]


def test_a_model_with_a_smaller_trained_context_than_promised_is_found(make: Make) -> None:
    """Where nothing tells what a model was trained for, the wish is promised and then looked at."""
    server = make()
    there = equipped()
    unknown = tuple(replace(m, architecture=None, name=f"x/{m.name}") for m in there.models)
    seed(server.store.root, "tiny:latest", factor=0.01)
    wished: dict[str, Any] = {"models": [{"id": "tiny"}], "primary": "ollama/tiny"}
    wished["fallbacks"] = []
    said, _ = prove(server, snapshot=replace(there, models=unknown), **wished)
    well, text, fix = said["context tiny"]
    assert (well, text) == (False, "32768 tokens are promised to OpenClaw, 8192 are served")
    assert "ollama show tiny" in fix


@pytest.mark.parametrize(("version", "read"), [("0.16.1", 32768), ("0.32.3", 16386)])
def test_a_server_that_drops_in_silence_is_found(make: Make, version: str, read: int) -> None:
    """Also one that drops only what is over: 36 tokens of 32804."""
    server = make(version)
    server.faults(ollama__chat="silent")
    said, proofs = prove(server)
    well, text, fix = said["context gpt-oss:20b"]
    assert not well
    assert re.fullmatch(
        rf"328\d\d tokens were sent and {read} read: the rest was dropped in silence", text
    )
    assert "brew upgrade ollama" in fix
    assert proofs[0]["refused"] is None


def test_a_model_that_does_not_answer_has_no_context_to_look_at(make: Make) -> None:
    server = make()
    server.faults(**{"ollama.chat:gpt-oss:20b": "500"})
    said, proofs = prove(server)
    assert said["chat gpt-oss:20b"][0] is False
    assert "HTTP 500" in said["chat gpt-oss:20b"][1]
    assert "context gpt-oss:20b" not in said
    assert said["context qwen3-coder"][0]
    assert proofs[0]["allocated"] is None


def test_a_part_that_is_not_on_the_gpu_is_told(make: Make) -> None:
    server = make()
    server.settings(load_ms=0, first_token_ms=0, decode_tps=100_000, vram=20_000_000_000)
    said, proofs = prove(server)
    well, text, _ = said["context qwen3-coder"]
    assert well
    assert "not on the GPU: slow" in text
    assert 0 < proofs[1]["on_gpu"] < 1
    assert promise.plan(equipped(), settings()).together is False
