"""One agent turn of the small OpenClaw: the same requests to Ollama, the same failover and faults.

What is kept of the real one: a request of about 50 kB even for "hi"; on 2026.2.x every request goes
through the proxy of the environment (as CONNECT, NO_PROXY respected), on 2026.9.x only those of
``openai-completions``; which failures move on to the next model; exit code 0 for a failed turn on
2026.2.x. Retries are not repeated a dozen times.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import urllib.parse
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.standins.openclaw_small_config import Config, recent

_PROMPT = ("You are a personal assistant running inside OpenClaw. " * 8 + "\n") * 102
TIMEOUT = 300


@dataclass
class Answer:
    """What a model said, or why it did not."""

    text: str
    provider: str
    model: str
    failure: str | None = None
    """``404``, ``500``, ``reset`` ...; None for success."""
    tokens: tuple[int, int] = (0, 0)


def proxy_for(url: str, environment: dict[str, str]) -> str | None:
    """The proxy that a request would use; ALL_PROXY is not looked at, as in the real one."""
    parts = urllib.parse.urlsplit(url)
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if parts.hostname in [name.strip() for name in exceptions.split(",")] or exceptions == "*":
        return None
    name = f"{parts.scheme}_proxy"
    return environment.get(name) or environment.get(name.upper()) or None


def _post(url: str, body: bytes, headers: dict[str, str], proxy: str | None) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    if proxy:
        through = urllib.parse.urlsplit(proxy)
        connection = http.client.HTTPConnection(
            through.hostname or "", through.port or 80, timeout=TIMEOUT
        )
        connection.set_tunnel(host, port)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    with contextlib.closing(connection):
        connection.request("POST", parts.path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def _body(api: str, model: dict[str, Any], messages: list[dict[str, str]], new: bool) -> bytes:
    tool = {
        "type": "function",
        "function": {"name": "exec", "description": "Run a command", "parameters": {}},
    }
    system = {"role": "system", "content": _PROMPT[: 57000 if new else 46000]}
    body: dict[str, Any] = {
        "model": model["id"],
        "stream": True,
        "messages": [system, *messages],
        "tools": [tool] * (12 if new else 23),
    }
    window = model.get("contextWindow", 128000 if new else 200000)
    asked = (model.get("params") or {}).get("num_ctx")
    if api == "ollama":
        options = {"num_ctx": asked} if asked else {} if new else {"num_ctx": window}
        body["options"] = options
        if new:
            body |= {"think": False, "truncate": False, "shift": False}
    else:
        body["max_tokens"] = model.get("maxTokens", 8192)
        body["stream_options"] = {"include_usage": True}
        if new:
            body["options"] = {"num_ctx": asked or window}
    return json.dumps(body).encode()


def _parse(api: str, raw: bytes) -> tuple[str, tuple[int, int]]:
    text, tokens = "", (0, 0)
    for line in raw.decode(errors="replace").splitlines():
        piece = line.removeprefix("data: ").strip()
        if not piece.startswith("{"):
            continue
        event = json.loads(piece)
        if api == "ollama":
            text += event.get("message", {}).get("content", "")
            if event.get("done"):
                tokens = (event.get("prompt_eval_count", 0), event.get("eval_count", 0))
            continue
        for choice in event.get("choices", []):
            text += choice.get("delta", {}).get("content") or ""
        usage = event.get("usage")
        if usage:
            tokens = (usage["prompt_tokens"], usage["completion_tokens"])
    return text, tokens


def _failed(api: str, status: int, raw: bytes) -> str:
    said = raw.decode(errors="replace")
    if status == 400 and "context" in said:
        return (
            "Context overflow: prompt too large for the model. Try /reset (or /new) to start a "
            "fresh session, or use a larger-context model."
        )
    if api == "ollama":
        return f"Ollama API error {status}: {said.strip()}"
    try:
        error = json.loads(said)["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError):
        said = said.strip()
    return f"HTTP {status}: {said}"


def ask(
    config: Config, version: str, reference: str, messages: list[dict[str, str]], home: Path
) -> Answer:
    """One request to one model, ``provider/model``."""
    provider_id, _, model_id = reference.partition("/")
    new = recent(version)
    provider = config.get("models", "providers", provider_id) or {}
    known = [model for model in provider.get("models", []) if model.get("id") == model_id]
    if not known:
        return Answer(f"Unknown model: {reference}", provider_id, model_id, "unknown")
    api = known[0].get("api") or provider.get("api", "openai-completions")
    url = str(provider.get("baseUrl", "")).rstrip("/")
    url += "/api/chat" if api == "ollama" else "/chat/completions"
    headers = {"Content-Type": "application/json", "User-Agent": "openclaw-small"}
    key = provider.get("apiKey") or _profile_key(home, provider_id)
    if key and not (new and api != "ollama" and key == "ollama-local"):
        headers["Authorization"] = f"Bearer {key}"
    direct = new and api == "ollama"
    proxy = None if direct else proxy_for(url, dict(os.environ))
    try:
        status, raw = _post(url, _body(api, known[0], messages, new), headers, proxy)
    except OSError:
        said = "fetch failed" if api == "ollama" else "Connection error."
        return Answer(said, provider_id, model_id, "connection")
    except http.client.HTTPException:
        return Answer("Connection error.", provider_id, model_id, "connection")
    if status != 200:
        return Answer(_failed(api, status, raw), provider_id, model_id, str(status))
    text, tokens = _parse(api, raw)
    return Answer(text, provider_id, model_id, None, tokens)


def _profile_key(home: Path, provider: str) -> str | None:
    file = home / ".openclaw" / "agents" / "main" / "agent" / "auth-profiles.json"
    try:
        profiles = json.loads(file.read_text())["profiles"].values()
    except (OSError, ValueError, KeyError):
        return None
    keys = [profile.get("key") for profile in profiles if profile.get("provider") == provider]
    return keys[0] if keys else None


def run(config: Config, version: str, messages: list[dict[str, str]], home: Path) -> Answer:
    """Ask the primary model and, where that version does so, the fallbacks."""
    model = config.get("agents", "defaults", "model") or "anthropic/claude-opus-4-6"
    if isinstance(model, str):
        model = {"primary": model}
    chain = [model.get("primary", ""), *model.get("fallbacks", [])]
    cooling: set[str] = set()
    answer = Answer("No model is configured.", "", "", "unknown")
    for reference in chain:
        if reference.partition("/")[0] in cooling:
            continue
        answer = ask(config, version, reference, messages, home)
        if answer.failure is None or not _moves_on(answer, version):
            break
        own_key = config.get("models", "providers", answer.provider, "apiKey")
        if not recent(version) and not own_key and _profile_key(home, answer.provider):
            # The auth profile, not the model, is what cools down: its provider is skipped.
            cooling.add(answer.provider)
    return answer


def _moves_on(answer: Answer, version: str) -> bool:
    if recent(version):
        return not answer.text.startswith("Context overflow")
    return answer.failure == "500" and not answer.text.startswith("Ollama API error")


def report(answer: Answer, version: str, session: str, *, embedded: bool) -> dict[str, Any]:
    """The JSON that ``openclaw agent --json`` prints."""
    taken, given = answer.tokens
    meta = {
        "durationMs": 100,
        "agentMeta": {
            "sessionId": session,
            "provider": answer.provider,
            "model": answer.model,
            "usage": {"input": taken, "output": given, "total": taken + given},
        },
        "aborted": False,
    }
    result = {"payloads": [{"text": answer.text, "mediaUrl": None}], "meta": meta}
    if embedded:
        return result
    bad = answer.failure is not None and recent(version)
    return {
        "runId": str(uuid.uuid4()),
        "status": "error" if bad else "ok",
        "summary": "failed" if bad else "completed",
        "result": result,
    }
