"""Proof after the deploy: every layer answers, and a first latency figure for each model."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from pyinfra import host

from clawfleet import gateway, openclaw, proxied_start, pulls, running
from clawfleet.connection import client
from clawfleet.names import same
from clawfleet.ollama import installed
from clawfleet.operations import model_proof
from clawfleet.operations.environment import FIX, read_back
from clawfleet.operations.mac import Commands, mac_operation, shell
from clawfleet.plan import Trouble, quote
from clawfleet.proof import Check, Latency, as_data, turn
from clawfleet.run import MacRun, current

TURN_TIMEOUT = 600
"""Seconds for a turn of the agent: a cold model of 18 GB is loaded in it."""


@mac_operation
def verify() -> Commands:
    """Every layer of the Mac answers; the results go to the table and to `reports`.

    Runs while executing only, and counts as no change: it changes nothing. Fails the Mac whose
    layer does not answer.
    """
    mac = current()
    if not mac.executing:
        host.noop("checked when the deploy runs")
        return
    if mac.settings.verify == "off":
        host.noop("verify is off")
        return
    checks, latencies = examine(mac)
    seen = mac.snapshot
    mac.results["about"] = {
        "macos": seen.macos,
        "chip": seen.chip,
        "memory_bytes": seen.memory,
        "ollama": seen.ollama_server,
        # Homebrew's service has another cache and attention than the app.
        "ollama_owner": seen.ollama_owner,
        "openclaw": seen.openclaw,
    }
    mac.results |= as_data(checks, latencies)
    bad = next((check for check in checks if not check.ok), None)
    if bad:
        raise Trouble(f"{bad.layer}: {bad.detail}", expected="an answer", fix=bad.fix)
    host.noop(f"{len(checks)} layers answer")
    yield from ()


def examine(mac: MacRun) -> tuple[list[Check], list[Latency]]:
    """All checks of one Mac, from the lowest layer up; those above a dead layer are left out."""
    checks: list[Check] = []
    fix = "pyinfra inventory.py tasks/ollama.py, or on the Mac: brew services restart ollama"

    def layer(name: str, ask: Callable[[], str], how: str) -> bool:
        begun = time.perf_counter()
        try:
            detail, ok = ask(), True
        except (httpx.HTTPError, Trouble, ValueError, KeyError) as error:
            found = error.found if isinstance(error, Trouble) else str(error)
            how = (isinstance(error, Trouble) and error.fix) or how
            detail, ok = mac.redacted(found or type(error).__name__), False
        checks.append(Check(name, ok, detail, round(time.perf_counter() - begun, 3), how))
        return ok

    bounds = httpx.Timeout(15, read=mac.settings.request_timeout)
    with client(mac.host, mac.settings.ollama_port, timeout=bounds) as http:
        rtt = _round_trip(http)
        alive = layer("ollama", lambda: _version(mac, http), fix) and layer(
            "models", lambda: _tags(mac, http), "pyinfra inventory.py tasks/models.py"
        )
        latencies = model_proof.prove(mac, http, layer, rtt) if alive else []
    up = layer("gateway", lambda: _gateway(mac), "pyinfra inventory.py tasks/gateway.py")
    if up:
        layer("proxies", lambda: _proxies(mac), FIX)
    if up and alive:
        name = quote(mac.settings.agent)
        by_hand = f"on the Mac: openclaw agent --agent {name} -m hi"
        proxy = proxied_start.of_a_turn(mac.snapshot, mac.settings)
        layer("agent", lambda: _agent(mac), proxy or by_hand)
    return checks, latencies


def _proxies(mac: MacRun) -> str:
    read_back(mac)
    return running.told(mac.snapshot, mac.settings)


def _round_trip(http: httpx.Client) -> float:
    """Milliseconds of the quickest of three small requests, after one that opens the connection."""
    times = []
    for _ in range(4):
        begun = time.perf_counter()
        try:
            http.get("/api/version")
        except httpx.HTTPError:
            return 0.0
        times.append(1000 * (time.perf_counter() - begun))
    return round(min(times[1:]), 2)


def _version(mac: MacRun, http: httpx.Client) -> str:
    version = str(http.get("/api/version").raise_for_status().json()["version"])
    want = installed(mac.snapshot)
    if want and version != want:
        raise Trouble(
            f"the server is {version}, installed is {want}", expected="one version", fix=""
        )
    return f"version {version}"


def _tags(mac: MacRun, http: httpx.Client) -> str:
    names = [m["name"] for m in http.get("/api/tags").raise_for_status().json()["models"]]
    missing = [w.id for w in mac.settings.models if not any(same(w.id, n) for n in names)]
    if missing:
        raise Trouble(f"missing: {', '.join(missing)}", expected="all wanted models", fix="")
    due = next(iter(pulls.plan(mac.snapshot, mac.settings, mac.lock)), None)
    if due:
        why = "; ".join(due.why)
        raise Trouble(f"{due.model} is {due.kind}: {why}", expected="a whole model", fix="")
    locked = mac.lock and all(mac.lock.build(wish.id) for wish in mac.settings.models)
    as_locked = ", as models.lock says" if locked else ""
    return f"{len(mac.settings.models)} wanted, {len(names)} there{as_locked}"


def _gateway(mac: MacRun) -> str:
    caps = openclaw.can(mac.snapshot, mac.settings)
    with client(mac.host, mac.port) as http:
        path = "/healthz" if caps.health_json else "/"
        answer = http.get(path).raise_for_status()
        if caps.health_json and answer.json().get("ok") is not True:
            raise Trouble(f"/healthz says {answer.text[:100]}", expected="ok", fix="")
    clean = openclaw.clean(mac.snapshot, mac.settings)
    script = f"{clean}openclaw health --json --timeout 20000 </dev/null 2>&1\n"
    _, output = shell(mac, script, 60)
    if not gateway.health_ok(output.stdout):
        last = output.stdout.strip().splitlines()[-1:] or ["nothing"]
        raise Trouble(f"openclaw health says {last[0][:200]}", expected='"ok": true', fix="")
    job = mac.snapshot.gateway
    return f"OpenClaw {mac.snapshot.openclaw} on port {mac.port}, pid {job.pid if job else '?'}"


def _agent(mac: MacRun) -> str:
    """One real turn, in a session of its own so that the user's conversations stay as they are."""
    clean = openclaw.clean(mac.snapshot, mac.settings)
    # With --agent, 2026.2.17 takes that agent's main conversation whatever --session-id says.
    who = "" if mac.settings.agent == "main" else f"--agent {quote(mac.settings.agent)} "
    script = (
        f"{clean}openclaw agent {who}--session-id clawfleet-{mac.run} "
        f"--message {quote(model_proof.PROMPT)} --json </dev/null 2>&1\n"
        'echo "exit=$?"\n'
    )
    begun = time.perf_counter()
    _, output = shell(mac, script, TURN_TIMEOUT)
    said, _, code = output.stdout.rpartition("exit=")
    result = turn(said, int(code) if code.strip().isdigit() else 1)
    if not result.ok:
        raise Trouble(
            f"the turn failed: {result.why or result.text[:200]}", expected="an answer", fix=""
        )
    wanted = [f"ollama/{model.id}" for model in mac.settings.models]
    # Where the user's own chain begins in the cloud, that is what answers.
    wanted += [mac.settings.primary] if mac.settings.primary not in wanted else []
    if result.model not in wanted:
        raise Trouble(
            f"answered by {result.model}, not by a local model", expected=", ".join(wanted), fix=""
        )
    return f"{result.model} answered in {time.perf_counter() - begun:.1f} s"
