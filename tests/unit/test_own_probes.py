"""What this project itself asks over HTTP never goes through a proxy, neither one of a variable nor
one of macOS' settings, unless it is a download."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.factory import REPO

SOURCES = sorted((REPO / "clawfleet").rglob("*.py"))
SCRIPTS = sorted((REPO / "clawfleet").rglob("*.sh"))
DOWNLOADS = {"homebrew.py": "--retry", "registry.sh": '"$URL"'}
"""File -> what tells its call that asks the internet (Homebrew's installer, Ollama's registry),
which takes the user's proxy, as he would."""
_CLIENTS = {"Client", "AsyncClient", "HTTPTransport", "get", "post", "put", "delete", "stream"}


def calls_of_curl() -> Iterator[tuple[str, str]]:
    """(file, command) of each call; lines that end in a backslash are one."""
    for path in (*SCRIPTS, *SOURCES):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            for call in re.findall(r"\bcurl -.*", line):
                # -fsSL and -I are for a person, who is told to type them.
                if path.suffix == ".sh" or not call.startswith(("curl -fsSL ", "curl -I ")):
                    yield path.name, call


def test_every_call_of_curl_keeps_away_from_proxies() -> None:
    found = list(calls_of_curl())
    assert len(found) >= 7
    for name, call in found:
        # -q as the first option: else ~/.curlrc may name a proxy.
        assert call.startswith("curl -q "), (name, call)
        if name in DOWNLOADS and DOWNLOADS[name] in call:
            continue
        if call.startswith('curl -q "$@"'):
            continue  # the words before it, which the next test looks at
        for request in call.split("--next"):
            assert "--noproxy '*'" in request, (name, call)


def test_words_that_are_put_together_for_curl_keep_away_too() -> None:
    for path in SCRIPTS:
        lines = path.read_text(encoding="utf-8").splitlines()
        collected = [
            line for line in lines if re.search(r"set -- .*(--connect-timeout|-m \d)", line)
        ]
        if any('curl -q "$@"' in line for line in lines):
            assert collected, path.name
        assert all("--noproxy '*'" in line for line in collected), path.name


def calls_of_httpx(path: Path) -> Iterator[tuple[int, bool]]:
    """(line, whether it looks at the environment) of each call that could."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id == "httpx" and node.func.attr in _CLIENTS:
            named = {word.arg: word.value for word in node.keywords}
            trusted = named.get("trust_env")
            off = isinstance(trusted, ast.Constant) and trusted.value is False
            yield node.lineno, not off


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_client_looks_at_the_environment(path: Path) -> None:
    assert [line for line, looks in calls_of_httpx(path) if looks] == []
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) (requests|urllib\.request|aiohttp)\b", text, re.M)


def test_there_is_a_client_at_all() -> None:
    assert sum(1 for path in SOURCES for _ in calls_of_httpx(path)) >= 2
