"""What takes everything that clawfleet wrote out of a Mac again, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace

from clawfleet import (
    domain,
    homebrew,
    json5,
    ledger,
    merge,
    ollama,
    ollama_app,
    ownership,
    patch,
)
from clawfleet.documents import at, blank
from clawfleet.ledger import Document, Ledger
from clawfleet.merge import Remove, show
from clawfleet.plan import FileChange, Step, Trouble, guard, quote
from clawfleet.settings import Settings
from clawfleet.snapshot import File, Snapshot

_PROFILE = "ollama:default"


@dataclass
class Removal:
    gateway: list[FileChange] = field(default_factory=list)
    """Files that the gateway reads."""
    other: list[FileChange] = field(default_factory=list)
    agent: bool = False
    """The LaunchAgent is ours and goes."""
    domain: list[Step] = field(default_factory=list)
    """Variables of the GUI domain."""
    models: list[Step] = field(default_factory=list)
    """Where that is asked for; only while Ollama's server runs."""
    steps: list[Step] = field(default_factory=list)
    """Ollama, where that is asked for."""
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[FileChange]:
        return [*self.gateway, *self.other]


def plan(snapshot: Snapshot, settings: Settings) -> Removal:
    """What has to be done so that nothing of ours is left, but for what was installed.

    A value of ours that somebody has changed since stays, and is noted. Trouble for a file that
    can't be read.
    """
    book = ownership.ledger_of(snapshot)
    removal = Removal(agent="gateway" in snapshot.installed and snapshot.plist.exists)
    read = {file.link or file.path: file for file in snapshot.read_by_gateway}
    inside = f"{snapshot.home}/.openclaw"
    state = (f"{inside}/", f"{snapshot.state_folder or inside}/")
    also = {file.link or file.path: file for file in snapshot.also if file.exists}
    read |= {path: file for path, file in also.items() if file.path.startswith(state)}
    others = {
        file.link or file.path: file
        for file in (
            snapshot.ollama_env,
            snapshot.ollama_daemon,
            snapshot.brew_env,
            snapshot.preload,
            *also.values(),
        )
        if file.exists and (file.link or file.path) not in read
    }
    if removal.agent:
        # OpenClaw wrote both when clawfleet asked it to install the service.
        for file in (snapshot.plist, snapshot.service_env):
            if file.exists:
                guard(file, snapshot)
                removal.gateway.append(_gone(file, "clawfleet had the gateway installed"))
    for path, file in {**read, **others}.items():
        if removal.agent and file in (snapshot.plist, snapshot.service_env):
            continue
        change = _without_ours(replace(file, path=path), book, removal.notes)
        if change and not (change.same and not change.gone):
            guard(file, snapshot)
            (removal.gateway if path in read else removal.other).append(change)
    removal.domain = domain.without_ours(snapshot)
    if snapshot.domain_set.exists:
        removal.other.append(_gone(snapshot.domain_set, "nothing of clawfleet is left"))
    if snapshot.owned.exists:
        # With whatever is written last.
        gone = _gone(snapshot.owned, "nothing of clawfleet is left")
        (removal.other or removal.gateway or removal.other).append(gone)
    removal.steps = [
        *ollama.app_as_before(snapshot, settings, removal.notes),
        *_ollama(snapshot, settings),
    ]
    removal.models = _models(snapshot, settings, removal)
    removal.notes += _left_installed(snapshot, settings)
    return removal


def _gone(file: File, because: str) -> FileChange:
    target = replace(file, path=file.link) if file.link else file
    return FileChange(target, b"", file.mode or "600", (because,), gone=True)


def _without_ours(file: File, book: Ledger, notes: list[str]) -> FileChange | None:
    because = ("takes out what clawfleet wrote",)
    if document := book.documents.get(file.path):
        text = _document(file, document, notes)
    elif lines := book.lines.get(file.path):
        text, whole = patch.reverse(lines.before, lines.after, file.loose_text)
        if not whole:
            notes.append(f"{file.path} was edited since; what could not be told apart stays")
    else:
        return None
    if text is None:
        return _gone(file, *because)
    mode = file.mode or "600"
    return FileChange(file, text.encode("utf-8", "surrogateescape"), mode, because)


def _document(file: File, document: Document, notes: list[str]) -> str | None:
    try:
        undone = ledger.undo(_without_traces(file), document)
    except json5.Json5Error as error:
        raise Trouble(
            f"{file.path} line {error.line}, column {error.column}: {error.message}",
            expected="JSON5 that OpenClaw can read",
            fix=f"edit {file.path} there on the Mac; nothing was changed",
        ) from error
    notes += [f"{show(path)} was changed by hand since: it stays" for path in undone.left]
    return undone.text


def _without_traces(file: File) -> str:
    """The text without what OpenClaw itself notes in auth-profiles.json about our credential."""
    source = file.loose_text
    if not file.path.endswith("/auth-profiles.json") or blank(source):
        return source
    edits = [Remove(("usageStats", _PROFILE), prune=True)]
    if at(json5.loads(source), ("lastGood", "ollama")) == _PROFILE:
        edits.append(Remove(("lastGood", "ollama"), prune=True))
    return merge.apply(source, edits).text


def _models(snapshot: Snapshot, settings: Settings, removal: Removal) -> list[Step]:
    ours = [line.removeprefix("model ") for line in snapshot.installed if line[:6] == "model "]
    there = {model.name for model in snapshot.models}
    left = {change.path: change.after for change in removal.gateway}
    named = "".join(
        left.get(file.link or file.path, file.content or b"").decode("utf-8", "replace")
        for file in (snapshot.config, snapshot.auth)
    )
    steps = []
    for model in ours if settings.remove_models else ():
        if not any(name in (model, f"{model}:latest") for name in there):
            continue
        if _names(named, model):
            removal.notes.append(f"{model} stays: your own config names it")
            continue
        body = quote(json.dumps({"model": model}))
        address = f"http://127.0.0.1:{settings.ollama_port}/api/delete"
        steps.append(
            Step(
                f"remove the model {model}",
                "clawfleet pulled it, and remove_models is set",
                f"curl -q -sS --noproxy '*' -f -m 60 -X DELETE -d {body} {quote(address)} "
                f"|| exit 1\n{_forget(f'model {model}')}",
                f"on the Mac: ollama rm {quote(model)}",
                timeout=90,
                show=f"ollama rm {model}",
            )
        )
    return steps


def _names(config: str, model: str) -> bool:
    """Whether a text names a model: ``ollama/tiny``, or ``id: 'tiny'`` in Ollama's list."""
    name = re.escape(model.removesuffix(":latest"))
    before, after = r"(ollama/|\bid[\"']?\s*:\s*[\"'])", r"(:latest)?(?![\w.:-])"
    return re.search(before + name + after, config) is not None


def _ollama(snapshot: Snapshot, settings: Settings) -> list[Step]:
    ways = {"formula ollama": "formula", "cask ollama-app": "cask"}
    for line, kind in ways.items():
        if not settings.remove_ollama or line not in snapshot.installed:
            continue
        name = line.split()[1]
        stop = "brew services stop ollama </dev/null\n" if kind == "formula" else ""
        command = f"brew uninstall --{kind} {name}"
        return [
            Step(
                "remove Ollama",
                "clawfleet installed it, and remove_ollama is set; its models stay in ~/.ollama",
                f"{homebrew.environment(snapshot, settings)}{stop}{command} </dev/null || exit 1\n"
                f"{_forget(line)}",
                f"on the Mac: {command}",
                timeout=600,
                show=command,
            )
        ]
    return []


def _forget(line: str) -> str:
    """sh that takes a line off the list of what clawfleet installed."""
    return (
        f'I=$HOME/.clawfleet/installed; umask 077; grep -vxF {quote(line)} "$I" > "$I.new"; '
        'mv -f "$I.new" "$I"\n'
    )


def _left_installed(snapshot: Snapshot, settings: Settings) -> list[str]:
    gone = {
        "model": settings.remove_models,
        "formula ollama": settings.remove_ollama,
        "cask ollama-app": settings.remove_ollama,
    }
    stays = [
        line
        for line in snapshot.installed
        if line != "gateway"
        and not line.startswith(f"{ollama_app.RECORD} ")
        and not gone.get(line)
        and not gone.get(line.partition(" ")[0])
    ]
    return [f"stays installed: {', '.join(stays)}"] if stays else []
