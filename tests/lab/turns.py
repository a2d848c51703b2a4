"""Turns of the agent through a running gateway's own HTTP endpoint, far quicker than its CLI."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from clawfleet import json5
from tests.lab.lab import Mac

CLOUD = "198.51.100.7"
"""TEST-NET-2: nobody answers there; only a proxy can play that it does."""


MODELS = {"cloud": "zai/glm-4.5-air", "desk": "desk/gpt-oss:20b"}
"""Whom a turn can be for besides the default model."""


@dataclass(frozen=True)
class Turns:
    """What became of some turns."""

    count: int
    """How many were asked for."""
    answers: tuple[str, ...]
    """Texts, also those that tell of an error."""
    failures: tuple[str, ...]
    """HTTP status and body of what was no answer."""


def with_endpoint(config: str, version: str, ollama_port: int) -> str:
    """The rich user's openclaw.json with the endpoint switched on, and two providers of his own:
    ``zai`` at `CLOUD`, and ``desk``, which asks this Mac's Ollama over /v1, for which every version
    takes the proxy. On 2026.2.17, where no header names the model, each has an agent."""
    endpoint = "http: { endpoints: { chatCompletions: { enabled: true } } },"
    model = "{ id: 'gpt-oss:20b', name: 'desk', contextWindow: 131072, maxTokens: 8192 }"
    desk = (
        f"desk: {{ baseUrl: 'http://127.0.0.1:{ollama_port}/v1', api: 'openai-completions', "
        f"apiKey: 'desk', models: [{model}] }},"
    )
    agents = ", ".join(f"{{ id: '{name}', model: '{model}' }}" for name, model in MODELS.items())
    allowed = ", ".join(f"'{model}': {{}}" for model in MODELS.values())
    changes = {
        "gateway: {": f"gateway: {{\n    {endpoint}",
        "providers: {": f"providers: {{\n      {desk}",
        "https://api.z.ai/api/paas/v4": f"http://{CLOUD}/v1",
        "models: { 'zai/glm-4.5-air': { alias: 'Air' } }": f"models: {{ {allowed} }}",
    }
    if version < "2026.9":
        changes["agents: {"] = f"agents: {{\n    list: [{{ id: 'main', default: true }}, {agents}],"
    for old, new in changes.items():
        assert config.count(old) == 1, old
        config = config.replace(old, new)
    return config


def wait_for_gateway(mac: Mac) -> None:
    """Return when the gateway answers; AssertionError when it does not within five minutes."""
    url = f"http://127.0.0.1:{mac.spec.gateway_port}/healthz"
    patience = ["--retry", "600", "--retry-delay", "1", "--retry-max-time", "300"]
    curl = ["curl", "-q", "-s", "-f", "--noproxy", "*", "-m", "10", "-o", "/dev/null"]
    done = mac.exec([*curl, *patience, "--retry-all-errors", url], timeout=400)
    assert done.returncode == 0, f"{mac.name}: the gateway does not answer on {url}"


def ask(
    mac: Mac, version: str, count: int = 1, *, whom: str = "main", patience: int = 120
) -> Turns:
    """That many turns, one after the other, each a conversation of its own; `whom`: ``main`` (the
    default model) or one of `MODELS`. A turn that takes longer than `patience` seconds is given up:
    2026.9.6 tries a provider that it does not reach eight times in about 80 s, and stops trying
    when who asks has gone."""
    config = json5.loads(mac.read(f"{mac.spec.home}/.openclaw/openclaw.json").decode())
    token = config["gateway"]["auth"]["token"]
    body = {"model": "openclaw", "messages": [{"role": "user", "content": "hi"}]}
    headers = [f"Authorization: Bearer {token}", "Content-Type: application/json"]
    if whom in MODELS and version >= "2026.9":
        headers.append(f"x-openclaw-model: {MODELS[whom]}")
    elif whom in MODELS:
        headers.append(f"x-openclaw-agent-id: {whom}")
    words = [word for header in headers for word in ("-H", header)]
    url = f"http://127.0.0.1:{mac.spec.gateway_port}/v1/chat/completions"
    told = ["-m", str(patience), "-w", "\t%{http_code}\n"]
    curl = ["curl", "-q", "-s", "--noproxy", "*", *told, *words]
    command = shlex.join([*curl, "-d", json.dumps(body), url])
    script = f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); {command}; done"
    done = mac.exec(script, timeout=3600)
    answers, failures = [], []
    for line in done.stdout.decode(errors="replace").splitlines():
        said, _, status = line.rpartition("\t")
        if not status.isdigit():
            continue
        try:
            answers.append(str(json.loads(said)["choices"][0]["message"]["content"]))
        except (ValueError, KeyError):
            failures.append(f"{status} {said[:200]}")
    return Turns(count, tuple(answers), tuple(failures))
