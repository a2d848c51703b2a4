"""Troubles with models: whether they are there, with how much context, and where OpenClaw asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from clawfleet import ollama, promise, store
from clawfleet.capabilities import wanted_shape
from clawfleet.diagnosis.known import TASK, Case, Known, Seen, quoted
from clawfleet.documents import at
from clawfleet.dotenv import values
from clawfleet.names import same


def _models(case: Case) -> Iterable[Seen]:
    missing = ollama.missing(case.snapshot, case.settings)
    if missing and ollama.installed(case.snapshot):
        size = ollama.size_of(missing)
        shown = f" ({size / 1e9:.1f} GB)" if size else ""
        yield Seen(f"missing: {', '.join(m.id for m in missing)}{shown}", TASK.format("models"))


def _broken(case: Case) -> Iterable[Seen]:
    for wish in case.settings.models:
        found = store.state(case.snapshot, wish.id)
        if found.kind == "broken":
            yield Seen(f"{wish.id}: {'; '.join(found.why)[:200]}", TASK.format("models"))


def promised(config: Mapping[str, Any]) -> dict[str, int]:
    """Tokens of context that openclaw.json promises for each of Ollama's models."""
    entries = at(config, ("models", "providers", "ollama", "models")) or []
    return {
        str(entry["id"]): int(entry["contextWindow"])
        for entry in entries
        if isinstance(entry, Mapping) and entry.get("id") and entry.get("contextWindow")
    }


def _served(case: Case) -> Iterable[Seen]:
    wanted = promised(case.config)
    if not wanted or case.snapshot.ollama_server is None:
        return
    by_server = wanted_shape(case.caps).num_ctx == "server"
    for model in case.symptoms.served:
        window = next((w for name, w in wanted.items() if same(name, model.name)), None)
        # Where each request says its own context, the model is loaded anew for the next one.
        if by_server and window and model.context and model.context < window:
            yield _too_little(case, f"{model.name} is served with {model.context:,} tokens", window)
            return
    if by_server and case.snapshot.ollama_owner == "formula":
        given = values(case.snapshot.ollama_env.loose_text).get("OLLAMA_CONTEXT_LENGTH", "")
        window = max(wanted.values())
        if not given.isdigit() or int(given) < window:
            yield _too_little(
                case, f"{case.snapshot.ollama_env.path} says {given or 'no'} context", window
            )


def _too_little(case: Case, found: str, window: int) -> Seen:
    formula = case.snapshot.ollama_owner == "formula"
    return Seen(
        f"{found}, openclaw.json promises {window:,}",
        TASK.format("ollama") if formula else "in Ollama.app: Settings > Context length",
        "ollama" if formula else None,
    )


def _truncates(case: Case) -> Iterable[Seen]:
    if found := case.said("truncating input prompt"):
        yield Seen(quoted(found), "raise context_window, or shorten the conversation: /new")


def _too_big(case: Case) -> Iterable[Seen]:
    obstacle = promise.weigh(case.snapshot, case.settings).obstacle
    if obstacle:
        yield Seen(obstacle.found, obstacle.fix)
    for model in case.symptoms.served:
        if model.size and model.size_gpu < model.size:
            part = 100 - 100 * model.size_gpu // model.size
            yield Seen(
                f"{model.name} with {model.context or '?'} tokens: {part} % are off the GPU",
                "a smaller context_window, or a smaller model",
            )


def _base_url(case: Case) -> Iterable[Seen]:
    url = at(case.config, ("models", "providers", "ollama", "baseUrl"))
    if not isinstance(url, str) or "${" in url:
        return
    api = at(case.config, ("models", "providers", "ollama", "api"))
    port = case.settings.ollama_port
    wrong = ""
    try:
        parts = urlsplit(url)
        found, host = parts.port or {"https": 443}.get(parts.scheme, 80), parts.hostname
    except ValueError:
        parts, found, host, wrong = urlsplit(""), 0, None, "it is no address"
    loopback = host in ("127.0.0.1", "localhost", "::1")
    if wrong or not host:
        wrong = wrong or "it names no host"
    elif loopback and found != port:
        wrong = f"Ollama is on port {port}"
    elif api == "ollama" and parts.path.rstrip("/").endswith("/v1"):
        wrong = 'with api "ollama" there is no /v1'
    elif api == "openai-completions" and not parts.path.rstrip("/").endswith("/v1"):
        wrong = 'api "openai-completions" lies under /v1'
    if wrong:
        # Only where clawfleet has written this file before: else the user has not asked for it yet.
        safe = case.snapshot.owned.exists
        yield Seen(f"baseUrl is {url}: {wrong}", TASK.format("config"), "config" if safe else None)
    elif not loopback:
        yield Seen(
            f"baseUrl is {url}: another machine, not this Mac's own Ollama", TASK.format("config")
        )


def _local_network(case: Case) -> Iterable[Seen]:
    providers = at(case.config, ("models", "providers"))
    for name, provider in providers.items() if isinstance(providers, Mapping) else ():
        url = provider.get("baseUrl") if isinstance(provider, Mapping) else None
        if isinstance(url, str) and _is_private(url):
            yield Seen(
                f"provider {name} is at {url}",
                "at the Mac's screen: System Settings > Privacy & Security > Local Network, allow "
                "node; it can't be seen or set over SSH",
            )


def _is_private(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    numbers = host.split(".")
    if len(numbers) == 4 and all(n.isdigit() for n in numbers):
        first, second = int(numbers[0]), int(numbers[1])
        return (
            first in (10, 169)
            or (first, second) == (192, 168)
            or (first == 172 and 16 <= second < 32)
        )
    return host.endswith(".local")


TROUBLES = (
    Known(
        "models-missing",
        "broken",
        "Models are missing",
        "缺少模型",
        ("model not found, try pulling it first", "HTTP 404: model"),
        "a wanted model is not in Ollama's store",
        "all wanted models",
        f"`{TASK.format('models')}` (not by fix: it may be 30 GB)",
        _models,
    ),
    Known(
        "model-broken",
        "broken",
        "A model in the store is damaged",
        "本地模型文件损坏或不完整",
        ("llama runner process has terminated",),
        "Ollama lists a model whose weights are missing or too short, and a pull takes what is "
        "there for good",
        "every blob of its manifest, in its size",
        f"`{TASK.format('models')}`: pulls what is wrong again (not by fix: it may be 30 GB)",
        _broken,
    ),
    Known(
        "context-served",
        "broken",
        "Less context is served than promised",
        "实际上下文长度小于配置的 contextWindow",
        (
            "Context overflow: prompt too large for the model",
            "the input length exceeds the context length",
        ),
        'Ollama\'s default on Macs up to 32 GB is 4096 tokens, a plain "hi" is 12,000, and what '
        "does not fit is cut off in silence, from the front",
        "as many tokens as openclaw.json promises",
        f"`{TASK.format('ollama')}` for the formula; the app's own setting for the app",
        _served,
    ),
    Known(
        "ollama-truncates",
        "broken",
        "Ollama cut a prompt off",
        "Ollama 截断了提示词",
        ("truncating input prompt",),
        "the prompt was larger than the context; its beginning, with the instructions, is lost",
        "prompts that fit",
        "a larger `context_window`, or a new conversation (`/new`)",
        _truncates,
        ("truncating input prompt",),
    ),
    Known(
        "model-too-big",
        "risk",
        "A model does not fit into the GPU's memory",
        "模型超出 GPU 可用内存",
        ("(CPU/GPU in `ollama ps`, slow answers)",),
        "the GPU gets about two thirds of the memory (three quarters above 36 GB); the rest runs "
        "on the CPU",
        "a model, with its context, inside the GPU's share",
        "a smaller model or a smaller `context_window`",
        _too_big,
    ),
    Known(
        "base-url",
        "broken",
        "OpenClaw asks at the wrong address",
        "baseUrl 配置错误",
        ("Failed to discover Ollama models: fetch failed", "HTTP 404: 404 page not found"),
        "models.providers.ollama.baseUrl has another port, or a /v1 that does not go with its api",
        "this Mac's Ollama",
        f"`{TASK.format('config')}`",
        _base_url,
    ),
    Known(
        "local-network",
        "note",
        "Local Network Privacy: a provider on the LAN",
        "本地网络隐私:LaunchAgent 访问局域网可能被系统拦截",
        ("fetch failed", "EHOSTUNREACH", "No route to host"),
        "macOS keeps a LaunchAgent from addresses on the LAN until somebody allows it at the "
        "screen; from Terminal the same request works",
        "Ollama on 127.0.0.1, or the permission",
        "System Settings > Privacy & Security > Local Network",
        _local_network,
    ),
)
