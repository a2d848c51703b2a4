"""The context of each model that is promised to OpenClaw: what is wished, as far as the Mac, the
model and the way to the server let it be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from clawfleet import architecture, dotenv, memory
from clawfleet.architecture import Cache
from clawfleet.capabilities import MEASURED, wanted_shape
from clawfleet.memory import MIB, RESERVE, Load, Serving, Verdict
from clawfleet.names import same
from clawfleet.openclaw import can
from clawfleet.plan import Trouble
from clawfleet.settings import ModelWish, Settings
from clawfleet.snapshot import Model, Snapshot

LENGTH = "OLLAMA_CONTEXT_LENGTH"


@dataclass(frozen=True)
class Promise:
    """The context of one model."""

    id: str
    wished: int
    """Tokens, as the settings say."""
    tokens: int
    """Promised: the same number in openclaw.json, in a request's num_ctx, and in /api/ps."""
    load: Load
    size: int | None
    """Bytes of memory with that context; None: not known."""
    verdict: Verdict
    why: str = ""
    """Why it is not what is wished; empty where it is."""


@dataclass(frozen=True)
class Plan:
    """What one Mac promises."""

    models: tuple[Promise, ...]
    """In the settings' order."""
    limit: int
    """Bytes that the Mac gives its GPU; 0: it has none, or its memory is not known."""
    serving: Serving
    num_ctx: Literal["params", "context_window", "server"]
    """How the context reaches Ollama, see ``capabilities.Shape``."""
    together: bool | None
    """Whether all of them stay in memory beside each other; None: not known."""
    obstacle: Trouble | None = None
    """Why not all of it can be promised, with the choices that can."""

    @property
    def server(self) -> int:
        """Tokens for a request that names no context: what the model with the most can have, as
        too few would be cut in silence."""
        return max(promise.tokens for promise in self.models)

    @property
    def per_request(self) -> bool:
        """Whether OpenClaw's requests carry the context."""
        return self.num_ctx != "server"

    def of(self, model: str) -> Promise:
        """The promise for a model by its id in the settings; StopIteration for another."""
        return next(promise for promise in self.models if promise.id == model)


def plan(snapshot: Snapshot, settings: Settings) -> Plan:
    """What the Mac can promise of what is wished.

    Trouble where a model can't get the least that the OpenClaw which will be there can work with:
    it names the choices that can.
    """
    weighed = weigh(snapshot, settings)
    if weighed.obstacle:
        raise weighed.obstacle
    return weighed


def weigh(snapshot: Snapshot, settings: Settings) -> Plan:
    """What the Mac could promise, also where it is too little: `obstacle` says so then."""
    caps = can(snapshot, settings)
    shape = wanted_shape(caps)
    least = shape.least_window
    limit, how = gpu(snapshot), serving(snapshot, settings)
    found: list[Promise] = []
    obstacle: Trouble | None = None
    for wish in settings.models:
        load = load_of(snapshot, wish)
        promise = _alone(settings.window(wish), least, wish.id, load, limit, how)
        if promise.tokens < least and obstacle is None:
            obstacle = _too_small(snapshot, settings, promise, least, limit, how)
        found.append(promise)
    if shape.num_ctx == "server" and obstacle is None:
        found, obstacle = _one_for_all(found, settings, least, str(caps.version))
    sizes = [memory.needed(each.load, max(each.tokens, least), how) for each in found]
    beside = memory.together(sizes, limit, how) if limit else None
    models = tuple(
        replace(
            each,
            size=size,
            verdict="does not fit"
            if each.tokens < least
            else _verdict(snapshot, limit, size, beside),
        )
        for each, size in zip(found, sizes, strict=True)
    )
    return Plan(models, limit, how, shape.num_ctx, beside, obstacle)


def gpu(snapshot: Snapshot) -> int:
    """Bytes of the GPU's memory; 0: an Intel Mac, for whose GPU Ollama has no use, or not known."""
    if snapshot.arch != "arm64":
        return 0
    return memory.gpu_limit(snapshot.memory, snapshot.wired_limit)


def load_of(snapshot: Snapshot, wish: ModelWish) -> Load:
    """Weights and shape: of the model that is there, else as the settings and the table of known
    models say."""
    there = _there(snapshot, wish)
    size = there.size if there else 0
    shape = there.architecture if there else None
    return Load(size or wish.size or 0, shape or architecture.known(wish.id))


def serving(snapshot: Snapshot, settings: Settings) -> Serving:
    """How the server that will answer keeps its models."""
    if not formula_serves(snapshot, settings):
        if snapshot.ollama_variables is not None:
            return memory.serving(snapshot.ollama_variables)
        # The app starts with what launchd's GUI domain has; of another server nothing is known.
        theirs = snapshot.gui_environment if snapshot.ollama_owner != "foreign" else {}
        return memory.serving(theirs)
    wished = {name: str(value) for name, value in settings.ollama_environment.items()}
    return memory.serving(
        {**memory.SERVICE, **dotenv.values(snapshot.ollama_env.loose_text), **wished}
    )


def formula_serves(snapshot: Snapshot, settings: Settings) -> bool:
    """Whether Homebrew's service is what answers, or will."""
    if snapshot.ollama_owner != "none":
        return snapshot.ollama_owner == "formula"
    app = snapshot.ollama_cask is not None or snapshot.ollama_app is not None
    return not app and settings.ollama_install != "cask"


def undecided(promises: Plan) -> list[str]:
    """Models whose need is not known before they are there, where it would decide something."""
    return [each.id for each in promises.models if promises.limit and each.size is None]


def _there(snapshot: Snapshot, wish: ModelWish) -> Model | None:
    return next((model for model in snapshot.models if same(wish.id, model.name)), None)


def _alone(wished: int, least: int, name: str, load: Load, limit: int, how: Serving) -> Promise:
    """What one model can have when nothing is beside it."""
    tokens, why = max(wished, least), ""
    if tokens != wished:
        why = f"{wished} wished; OpenClaw needs {least}"
    trained = load.architecture.trained if load.architecture else None
    if trained and trained < tokens:
        tokens, why = trained, f"{wished} wished; the model was trained for {trained}"
    if limit and memory.fits(load, tokens, limit, how) is False:
        tokens = memory.largest(load, limit, how) or 0
        why = (
            f"{wished} wished; {tokens} fits into {gb(limit)} beside {gb(load.weights)} of weights"
        )
    return Promise(name, wished, tokens, load, None, "not known", why)


def _one_for_all(
    found: Sequence[Promise], settings: Settings, least: int, version: str
) -> tuple[list[Promise], Trouble | None]:
    """Where requests can't carry a context the server has one for all models: the smallest."""
    smallest = min(promise.tokens for promise in found)
    reason = f"OpenClaw {version} names no context: the server has one for all"
    given = str(settings.ollama_environment.get(LENGTH, ""))
    if given.isdigit() and int(given) < smallest:
        smallest, reason = int(given), f"{LENGTH} in ollama_environment says"
    obstacle = None
    if smallest < least:
        obstacle = Trouble(
            f"{LENGTH} is {smallest} in ollama_environment",
            expected=f"at least the {least} tokens that OpenClaw {version} needs: it takes what "
            "the server gives",
            fix=f"take {LENGTH} out of ollama_environment: it follows from context_window",
        )
    same_for_all = [
        each
        if each.tokens == smallest
        else replace(each, tokens=smallest, why=f"{each.wished} wished; {smallest}, as {reason}")
        for each in found
    ]
    return same_for_all, obstacle


def _verdict(snapshot: Snapshot, limit: int, size: int | None, together: bool | None) -> Verdict:
    if not limit:
        return "no GPU" if snapshot.arch != "arm64" else "not known"
    if size is None:
        return "not known"
    return "fits" if together else "fits alone"


def _too_small(
    snapshot: Snapshot, settings: Settings, promise: Promise, least: int, limit: int, how: Serving
) -> Trouble:
    """A model that can't get what OpenClaw needs, with the choices that can."""
    load, shape = promise.load, promise.load.architecture
    version = str(can(snapshot, settings).version)
    if shape and shape.trained and shape.trained < least:
        return Trouble(
            f"{promise.id} was trained for {shape.trained} tokens of context",
            expected=f"at least the {least} that OpenClaw {version} needs",
            fix=f"take {promise.id} out of `models` for this Mac, or name another model there",
        )
    needs = (memory.needed(load, least, how) or 0) + RESERVE
    return Trouble(
        f"{promise.id} does not fit: with {least} tokens of context it takes "
        f"{gb(needs - RESERVE)}, {gb(load.weights)} of them weights; this Mac of "
        f"{snapshot.memory / memory.GIB:.0f} GB gives its GPU {gb(limit)}, and Ollama leaves "
        f"{gb(RESERVE)} of that free",
        expected=f"at most {gb(limit - RESERVE)} with the {least} tokens that OpenClaw {version} "
        "needs at least",
        fix="; or ".join(_choices(snapshot, settings, promise, least, limit, how)),
    )


def _choices(
    snapshot: Snapshot, settings: Settings, promise: Promise, least: int, limit: int, how: Serving
) -> list[str]:
    """What would make it fit, each of them computed."""
    load = promise.load
    needs = (memory.needed(load, least, how) or 0) + RESERVE
    choices = [*_smaller_cache(snapshot, settings, load, least, limit, how)]
    if how.slots > 1 and (one := memory.largest(load, limit, replace(how, slots=1)) or 0) >= least:
        choices.append(f'ollama_environment = {{"OLLAMA_NUM_PARALLEL": 1}} ({one} tokens fit)')
    lower = wanted_shape(can(replace(snapshot, openclaw=None), settings)).least_window
    if lower < least and (memory.largest(load, limit, how) or 0) >= lower:
        choices.append(f'openclaw_version = "{MEASURED[1]}", which needs {lower} tokens')
    if needs <= snapshot.memory * 4 // 5:
        choices.append(
            f"on the Mac, until its next start: sudo sysctl iogpu.wired_limit_mb={-(-needs // MIB)}"
        )
    fitting = [
        wish.id
        for wish in settings.models
        if (memory.largest(load_of(snapshot, wish), limit, how) or 0) >= least
    ]
    if fitting:
        choices.append(
            f"only {', '.join(fitting)} in `models`, `primary` and `fallbacks` of this Mac"
        )
    budget = load.weights - (needs - limit)
    here = [model.name for model in snapshot.models if 0 < model.size <= budget]
    here = [name for name in here if not any(same(name, wish) for wish in fitting)]
    if here:
        choices.append(f"{', '.join(here)}, already there and small enough by its weights")
    if budget > 0:
        choices.append(f"another model in its place, of at most {gb(budget)} of weights")
    return choices or ["no model with weights fits here; take this Mac out of hosts.yml"]


def _smaller_cache(
    snapshot: Snapshot, settings: Settings, load: Load, least: int, limit: int, how: Serving
) -> list[str]:
    kinds: list[Cache] = ["f16", "q8_0", "q4_0"]
    for kind in kinds[kinds.index(how.kept) + 1 :]:
        tokens = memory.largest(load, limit, replace(how, cache=kind, flash=True)) or 0
        if tokens < least:
            continue
        if formula_serves(snapshot, settings):
            wish = f'{{"OLLAMA_FLASH_ATTENTION": 1, "OLLAMA_KV_CACHE_TYPE": "{kind}"}}'
            return [f"ollama_environment = {wish} ({tokens} tokens fit)"]
        if kind == "q8_0":
            return [f"Homebrew's formula in its place: its cache is {kind} ({tokens} tokens fit)"]
    return []


def gb(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.1f} GB"
