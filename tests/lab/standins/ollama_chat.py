"""The endpoints that generate: /api/generate, /api/chat and /v1/chat/completions."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.standins import ollama_answer as answer
from tests.lab.standins.ollama_http import ApiError
from tests.lab.standins.ollama_memory import Runner, seconds
from tests.lab.standins.ollama_store import Json, Model, compact

if TYPE_CHECKING:
    from tests.lab.standins.ollama_server import Api

EFFORTS = ("low", "medium", "high")


@dataclass
class Turn:
    """One request to a model, understood."""

    requested: str
    model: Model
    prompt: str
    messages: list[Json] | None
    tools: list[Json]
    stream: bool
    truncate: bool
    thinks: bool
    limit: int
    num_ctx: int
    options: tuple[object, ...]
    keep_alive: float | None
    timing: answer.Timing
    include_usage: bool = False
    done_reason: str = ""
    prompt_before_cut: int = 0

    @property
    def load_only(self) -> bool:
        """A request without a prompt loads or unloads the model."""
        return not self.prompt


def content_text(content: object) -> str:
    """A message's text, also where it comes as a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _message_text(message: Json) -> str:
    calls = message.get("tool_calls")
    extra = compact(calls).decode() if calls else ""
    return f"{message.get('role', '')}: {content_text(message.get('content'))}{extra}\n"


def fit_messages(messages: list[Json], head: str, num_ctx: int) -> str:
    """The prompt after the oldest messages were dropped until it fits; system ones stay.

    Without a word to the client. The last message stays even where it is too long.
    """
    for start in range(len(messages)):
        system = [m for m in messages[:start] if m.get("role") == "system"]
        text = head + "".join(_message_text(m) for m in [*system, *messages[start:]])
        if answer.tokens(text) <= num_ctx:
            return text
    last = len(messages) - 1
    kept = [m for m in messages[:last] if m.get("role") == "system"] + messages[last:]
    return head + "".join(_message_text(m) for m in kept)


def _thinks(model: Model, think: object) -> bool:
    """Whether the answer begins with a trace, or the 400 for a wish that cannot be met."""
    able = "thinking" in model.capabilities
    if think in (None, "", False, "none"):
        return able and (think in (None, "") or model.config["model_family"] == "gptoss")
    if not able:
        raise ApiError(400, f'"{model.name.short}" does not support thinking')
    if isinstance(think, str) and model.config["model_family"] != "gptoss":
        raise ApiError(400, f'think value "{think}" is not supported for this model')
    return True


def understand(api: Api, body: Json, *, native: bool) -> Turn:
    """A request as a Turn; ApiError as Ollama answers bad ones."""
    requested = str(body.get("model") or "")
    if not requested:
        raise ApiError(400, "model is required")
    model = api.find(requested)
    tools = body.get("tools") or []
    if tools and "tools" not in model.capabilities:
        place = "/".join(model.name.parts[:3])
        raise ApiError(400, f"{place}:{model.name.tag} does not support tools")
    options = (body.get("options") or {}) if native else {}
    think = body.get("think") if native else body.get("reasoning_effort")
    limit = options.get("num_predict") if native else body.get("max_tokens")
    if limit is None:
        limit = model.parameters.get("num_predict", -1)
    num_ctx = int(options.get("num_ctx") or model.parameters.get("num_ctx") or api.num_ctx())
    num_ctx = max(4, min(num_ctx, model.context_length))
    try:
        keep_alive = seconds(body.get("keep_alive")) if native else None
    except ValueError as error:
        raise ApiError(400, str(error)) from error
    messages = body.get("messages")
    if not native and not messages:
        raise ApiError(400, "[] is too short - 'messages'")
    head = (compact(tools).decode() + "\n") if tools else ""
    silent = api.chat_fault(model) == "silent"
    truncate = silent or body.get("truncate", True) is not False
    if messages is None:
        prompt = str(body.get("prompt") or "")
        prompt = f"{body.get('system') or ''}{prompt}" if prompt else ""
    elif truncate:
        prompt = fit_messages(messages, head, num_ctx) if messages else ""
    else:
        prompt = head + "".join(_message_text(m) for m in messages)
    whole = head + "".join(_message_text(m) for m in messages) if messages else prompt
    return Turn(
        requested=requested,
        model=model,
        prompt=prompt,
        messages=messages,
        tools=tools,
        stream=body.get("stream", native) is not False,
        truncate=truncate,
        thinks=_thinks(model, think),
        limit=int(limit),
        num_ctx=num_ctx,
        options=(options.get("num_batch"), options.get("num_gpu")),
        keep_alive=keep_alive,
        timing=answer.Timing(),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        prompt_before_cut=answer.tokens(whole),
    )


@contextlib.contextmanager
def loaded(api: Api, turn: Turn) -> Iterator[Runner]:
    """The runner for a turn; load_duration counts the wait for it too."""
    started = time.monotonic_ns()
    settings = api.speed(turn.model)

    def load() -> None:
        api.check_blobs(turn.model)
        api.log("INFO", "server.go:433", "starting runner", model=turn.model.name.short)
        time.sleep(settings.load_ms / 1000)

    with api.memory.use(turn.model, turn.num_ctx, turn.options, turn.keep_alive, load) as runner:
        turn.timing.load = time.monotonic_ns() - started
        yield runner


def generate(api: Api, turn: Turn, runner: Runner) -> Iterator[tuple[str, str]]:
    """The pieces of the answer, while `turn.timing` fills; ApiError 400 for a prompt too long."""
    settings = api.speed(turn.model)
    prompt = turn.prompt
    size = answer.tokens(prompt)
    half = api.traits.cuts_to_half
    if size > turn.num_ctx - half:
        if not turn.truncate:
            raise ApiError(400, answer.refusal(size, turn.num_ctx, by_llama_server=half))
        kept = turn.num_ctx - (turn.num_ctx - answer.NUM_KEEP) // 2 if half else turn.num_ctx
        api.log(
            "WARN",
            "runner.go:187",
            "truncating input prompt",
            limit=kept,
            prompt=size,
            keep=answer.NUM_KEEP,
            new=kept,
        )
        prompt, size = answer.cut(prompt, kept), kept
    turn.timing.prompt_tokens = size
    work = answer.prefill(prompt, runner.prompt, settings)
    runner.prompt = prompt
    started = time.monotonic_ns()
    time.sleep(work)
    turn.timing.prompt_eval = time.monotonic_ns() - started
    text = "" if api.chat_fault(turn.model) == "empty" else api.text(turn.model)
    made = answer.plan(
        text,
        thinks=turn.thinks and bool(text),
        limit=turn.limit if turn.limit >= 0 else -1,
        answer_tokens=settings.answer_tokens if text else 0,
    )
    turn.done_reason = made.done_reason
    started = time.monotonic_ns()
    for index, item in enumerate(answer.pace(made, settings), 1):
        turn.timing.eval = time.monotonic_ns() - started
        turn.timing.tokens = index
        yield item


def created_at() -> str:
    """Now, as Go writes it."""
    now = time.time()
    fraction = f"{math.modf(now)[0]:.6f}"[1:]
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + fraction + "Z"


def native_piece(turn: Turn, thinking: str, content: str) -> Json:
    """One object of a native stream, in the shape of its endpoint."""
    base: Json = {"model": turn.requested, "created_at": created_at()}
    if turn.messages is None:
        base["response"] = content
        return {**base, "thinking": thinking} if thinking else base
    message = {"role": "assistant", "content": content}
    return {**base, "message": {**message, "thinking": thinking} if thinking else message}


def openai_piece(turn: Turn, identity: str, delta: Json, finish: str | None) -> Json:
    """One chunk of a /v1 stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": turn.requested,
        "system_fingerprint": "fp_ollama",
        "choices": [choice],
    }


def usage(turn: Turn) -> Json:
    """Token counts under OpenAI's names; completion tokens hold the thinking too."""
    timing = turn.timing
    return {
        "prompt_tokens": timing.prompt_tokens,
        "completion_tokens": timing.tokens,
        "total_tokens": timing.prompt_tokens + timing.tokens,
    }
