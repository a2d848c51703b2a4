from __future__ import annotations

import pytest

from clawfleet.names import manifest_path, normalise, same


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("qwen3-coder", "qwen3-coder:latest"),
        ("gpt-oss:20b", "gpt-oss:20b"),
        ("library/gpt-oss:20b", "gpt-oss:20b"),
        ("registry.ollama.ai/library/gpt-oss:20b", "gpt-oss:20b"),
        ("registry.ollama.ai/someone/model", "someone/model:latest"),
        ("someone/model:q4", "someone/model:q4"),
        ("localhost:5000/team/model:1", "localhost:5000/team/model:1"),
        ("hf.co/unsloth/Qwen3-GGUF:Q4_K_M", "hf.co/unsloth/Qwen3-GGUF:Q4_K_M"),
        ("hf.co/library/x", "hf.co/library/x:latest"),
        ("Registry.Ollama.AI/Library/x", "x:latest"),
    ],
)
def test_a_name_is_shown_as_ollama_shows_it(given: str, shown: str) -> None:
    assert normalise(given) == shown
    assert normalise(shown) == shown


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ":20b",
        "gpt-oss:",
        "gpt oss:20b",
        "gpt-oss:20b\n",
        "a/b/c/d",
        "a//b",
        "/a",
        "a:b:c",
        "$(reboot)",
        "x;y",
        "x'y",
        "-x",
        "https://ollama.com/library/x",
        "x" * 200,
    ],
)
def test_what_ollama_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="model's name"):
        normalise(name)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("qwen3-coder", "qwen3-coder:latest", True),
        ("GPT-OSS:20B", "gpt-oss:20b", True),
        ("gpt-oss:20b", "gpt-oss:120b", False),
        ("library/x", "x:latest", True),
        ("team/x", "x", False),
        ("not a name", "not a name", False),
    ],
)
def test_same_model(one: str, other: str, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("qwen3-coder", "registry.ollama.ai/library/qwen3-coder/latest"),
        ("team/x:1", "registry.ollama.ai/team/x/1"),
        ("hf.co/unsloth/Qwen3-GGUF:Q4_K_M", "hf.co/unsloth/Qwen3-GGUF/Q4_K_M"),
        ("localhost:5000/team/model:1", "localhost:5000/team/model/1"),
    ],
)
def test_where_a_manifest_lies(name: str, path: str) -> None:
    assert manifest_path(name) == path
