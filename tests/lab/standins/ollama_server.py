"""``ollama serve``: the endpoints."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.lab.spec import MacSpec
from tests.lab.standins import ollama_chat as chat
from tests.lab.standins import ollama_manage as manage
from tests.lab.standins.ollama_api import Api, host_and_port
from tests.lab.standins.ollama_chat import Turn
from tests.lab.standins.ollama_http import ApiError, Disconnect, Handler, Server
from tests.lab.standins.ollama_memory import Runner
from tests.lab.standins.ollama_store import Json, compact
from tests.lab.standins.ollama_versions import traits

_identities = itertools.count(1)


class OllamaHandler(Handler):
    """Answers one connection; `api` is set on the subclass that `build` makes."""

    api: Api

    def route(self) -> None:
        path = self.path.partition("?")[0]
        method = "GET" if self.command == "HEAD" else self.command
        fixed = {
            ("GET", "/"): self._root,
            ("GET", "/api/version"): self._version,
            ("GET", "/api/tags"): self._tags,
            ("GET", "/api/ps"): self._ps,
            ("POST", "/api/show"): self._show,
            ("POST", "/api/pull"): self._pull,
            ("POST", "/api/create"): self._create,
            ("POST", "/api/copy"): self._copy,
            ("DELETE", "/api/delete"): self._delete,
            ("POST", "/api/generate"): self._generate,
            ("POST", "/api/chat"): self._generate,
            ("POST", "/v1/chat/completions"): self._completions,
            ("GET", "/v1/models"): self._models,
        }
        action = fixed.get((method, path))
        if action is not None:
            action()
        elif path.startswith("/api/blobs/") and self.command in ("HEAD", "POST"):
            self._blob(path.removeprefix("/api/blobs/"))
        elif path.startswith("/v1/models/") and method == "GET":
            self._record()
            self.send_json(manage.openai_model(self.api.find(path.removeprefix("/v1/models/"))))
        else:
            self.drain()
            known = {p for _, p in fixed}
            status = 405 if path in known else 404
            text = "405 method not allowed" if status == 405 else "404 page not found"
            self.send_bytes(text.encode(), "text/plain", status)

    def _record(self, **more: object) -> None:
        self.api.record(
            {
                "method": self.command,
                "path": self.path,
                "user_agent": self.headers.get("User-Agent"),
                **more,
            }
        )

    def _root(self) -> None:
        self._record()
        self.send_bytes(b"Ollama is running", "text/plain; charset=utf-8")

    def _version(self) -> None:
        self._record()
        self.send_json({"version": self.api.traits.version})

    def _tags(self) -> None:
        self._record()
        self.send_json({"models": manage.tags(self.api)})

    def _ps(self) -> None:
        self._record()
        self.send_json({"models": manage.processes(self.api)})

    def _models(self) -> None:
        self._record()
        data = [manage.openai_model(model) for model in self.api.store.models()]
        self.send_json({"object": "list", "data": data})

    def _request(self) -> Json:
        """The body of a request that names a model, and its line in the request log."""
        body = self.read_json()
        name = body.get("model") or body.get("name") or ""
        self._record(model=name, bytes=self.body_size, stream=body.get("stream"))
        return {**body, "model": name}

    def _show(self) -> None:
        self.send_json(manage.show(self.api, self._request()))

    def _create(self) -> None:
        self._events(self._request(), manage.create)

    def _pull(self) -> None:
        body = self._request()
        if self.api.fault("ollama.pull", self.api.name(str(body["model"])).short) == "http500":
            raise ApiError(500, "internal server error")
        self._events(body, manage.pull)

    def _events(self, body: Json, action: Any) -> None:
        """A stream of events, its error inside the 200; or one object where no stream is asked."""
        name = self.api.name(str(body["model"]))
        events: Iterator[Json] = action(self.api, name, body, self.gone)
        if body.get("stream") is False:
            last: Json = {}
            for last in events:
                if "error" in last:
                    raise ApiError(int(last.get("status_code", 500)), str(last["error"]))
            self.send_json(last)
            return
        self.start_stream("application/x-ndjson")
        try:
            for event in events:
                self.send_line({key: x for key, x in event.items() if key != "status_code"})
        finally:
            events.close()  # type: ignore[attr-defined]
        self.end_stream()

    def _copy(self) -> None:
        body = self.read_json()
        self._record(model=body.get("source"), bytes=self.body_size)
        manage.copy(self.api, str(body.get("source") or ""), str(body.get("destination") or ""))
        self.send_bytes(b"", "text/plain")

    def _delete(self) -> None:
        manage.delete(self.api, str(self._request()["model"]))
        self.send_bytes(b"", "text/plain")

    def _blob(self, digest: str) -> None:
        self._record()
        path = self.api.store.blob(digest)
        if self.command == "HEAD":
            self.send_bytes(b"", "text/plain", 200 if path.exists() else 404)
            return
        if path.exists():
            self.drain()
            self.send_bytes(b"", "text/plain", 200)
            return
        found = hashlib.sha256()

        def received() -> Iterator[bytes]:
            for chunk in self.chunks():
                found.update(chunk)
                yield chunk

        layer = self.api.store.add_blob(received(), "")
        if layer["digest"] != digest:
            self.api.store.remove_unused([str(layer["digest"])])
            text = f'digest mismatch, expected "{digest}", got "{layer["digest"]}"'
            raise ApiError(400, text)
        self.send_bytes(b"", "text/plain", 201)

    def _understand(self, *, native: bool) -> Turn:
        body = self.read_json()
        options = (body.get("options") or {}) if native else {}
        entry = {
            "model": body.get("model"),
            "bytes": self.body_size,
            "stream": body.get("stream"),
            "num_ctx": options.get("num_ctx"),
            "tools": len(body.get("tools") or []),
            "messages": len(body.get("messages") or []),
            "keep_alive": body.get("keep_alive"),
            "think": body.get("think"),
            "max_tokens": body.get("max_tokens"),
        }
        try:
            turn = chat.understand(self.api, body, native=native)
        except ApiError as error:
            self._record(**entry, status=error.status)
            raise
        wanted = turn.prompt_before_cut
        self._record(
            **entry, context=turn.num_ctx, prompt_tokens=wanted, truncated=wanted > turn.num_ctx
        )
        self._chat_fault(turn)
        return turn

    def _chat_fault(self, turn: Turn) -> None:
        fault = self.api.chat_fault(turn.model)
        if fault == "500":
            raise ApiError(500, "llama runner process has terminated")
        if fault == "404":
            raise ApiError(404, f"model '{turn.requested}' not found")
        if fault == "reset":
            self.reset()
        if fault == "hang":
            while self.api.chat_fault(turn.model) == "hang" and not self.gone():
                time.sleep(0.05)
            raise Disconnect

    def _generate(self) -> None:
        turn = self._understand(native=True)
        started = time.monotonic_ns()
        if turn.load_only:
            self._load(turn)
            return
        with chat.loaded(self.api, turn) as runner:
            text = {"thinking": "", "content": ""}
            pieces = self._pieces(turn, runner)
            if turn.stream:
                self.start_stream("application/x-ndjson")
            for kind, piece in pieces:
                text[kind] += piece
                if turn.stream:
                    thinking, content = (piece, "") if kind == "thinking" else ("", piece)
                    self.send_line({**chat.native_piece(turn, thinking, content), "done": False})
            turn.timing.total = time.monotonic_ns() - started
            end = {"done": True, "done_reason": turn.done_reason, **turn.timing.fields()}
            if turn.stream:
                self.send_line({**chat.native_piece(turn, "", ""), **end})
                self.end_stream()
            else:
                whole = chat.native_piece(turn, text["thinking"], text["content"])
                self.send_json({**whole, **end})

    def _load(self, turn: Turn) -> None:
        reason = "load"
        if turn.keep_alive == 0:
            self.api.memory.unload(turn.model)
            reason = "unload"
        else:
            with chat.loaded(self.api, turn):
                pass
        answer = {**chat.native_piece(turn, "", ""), "done": True, "done_reason": reason}
        self.send_json(answer)

    def _pieces(self, turn: Turn, runner: Runner) -> Iterator[tuple[str, str]]:
        """The answer; errors that come before its first token are raised here and now."""
        pieces = chat.generate(self.api, turn, runner)
        first = next(pieces, None)
        rest = itertools.chain([first], pieces) if first is not None else iter(())
        return self._breaking_off(rest) if self.api.chat_fault(turn.model) == "cut" else rest

    def _breaking_off(self, pieces: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        yield from itertools.islice(pieces, 2)
        self.close_connection = True
        raise Disconnect

    def _completions(self) -> None:
        turn = self._understand(native=False)
        identity = f"chatcmpl-{next(_identities)}"
        with chat.loaded(self.api, turn) as runner:
            pieces = self._pieces(turn, runner)
            if turn.stream:
                self._completion_stream(turn, identity, pieces)
                return
            text = {"thinking": "", "content": ""}
            for kind, piece in pieces:
                text[kind] += piece
            message = {"role": "assistant", "content": text["content"]}
            if text["thinking"]:
                message["reasoning"] = text["thinking"]
            chunk = chat.openai_piece(turn, identity, {}, turn.done_reason)
            choice = {"index": 0, "message": message, "finish_reason": turn.done_reason}
            whole = {"object": "chat.completion", "choices": [choice], "usage": chat.usage(turn)}
            self.send_json({**chunk, **whole})

    def _completion_stream(
        self, turn: Turn, identity: str, pieces: Iterator[tuple[str, str]]
    ) -> None:
        self.start_stream("text/event-stream")
        for kind, piece in pieces:
            delta = {"role": "assistant", "content": piece if kind == "content" else ""}
            if kind == "thinking":
                delta["reasoning"] = piece
            self.send_event(compact(chat.openai_piece(turn, identity, delta, None)))
        delta = {"role": "assistant", "content": ""}
        last = chat.openai_piece(turn, identity, delta, turn.done_reason)
        self.send_event(compact(last))
        if turn.include_usage:
            self.send_event(compact({**last, "choices": [], "usage": chat.usage(turn)}))
        self.send_event(b"[DONE]")
        self.end_stream()


def build(api: Api, host: str, port: int) -> Server:
    """A server that listens; OSError where the port is taken."""
    handler = type("BoundHandler", (OllamaHandler,), {"api": api})
    return Server((host, port), handler)


def serve(mac: MacSpec) -> int:
    """Run until SIGTERM or SIGINT; 1 where the port is taken."""
    api = Api(mac, traits())
    host, port = host_and_port(mac)
    try:
        server = build(api, host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sys.stderr.write(f"Error: listen tcp {host}:{port}: bind: {reason}\n")
        return 1
    pruned: list[str] = []
    if os.environ.get("OLLAMA_NOPRUNE", "").lower() not in ("1", "true"):
        pruned = api.store.prune(api.traits.prune_grace)
    api.log_start(host, port, len(pruned))

    def stop(_number: int, _frame: object) -> None:
        # The threads hold nothing that a real server would save: part files are on disk already.
        sys.stderr.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever()
    return 0
