"""Every trouble that is known, looked for on one Mac.

The rows stand in the modules beside this one, by topic. docs/troubleshooting.md is made of them.
"""

from __future__ import annotations

from clawfleet.diagnosis import config, gateway, host, models, ollama, proxies
from clawfleet.diagnosis.known import Case, Finding, Known
from clawfleet.plan import Trouble

TOPICS: dict[str, tuple[Known, ...]] = {
    "The Mac itself": host.TROUBLES,
    "Ollama": ollama.TROUBLES,
    "Models and context": models.TROUBLES,
    "OpenClaw and its files": config.TROUBLES,
    "Proxies": proxies.TROUBLES,
    "The gateway": gateway.TROUBLES,
}
TROUBLES: tuple[Known, ...] = tuple(known for rows in TOPICS.values() for known in rows)
LOGGED: tuple[str, ...] = tuple(dict.fromkeys(text for known in TROUBLES for text in known.log))
"""Texts for which the logs of a Mac are searched."""

_ORDER = ("broken", "risk", "note")


def diagnose(case: Case) -> list[Finding]:
    """What is wrong with a Mac: the broken first, then in the order of the table.

    A row that can't be looked at is a finding of its own and leaves the others.
    """
    findings = []
    for known in TROUBLES:
        try:
            findings += [
                Finding(
                    known.id,
                    known.severity,
                    known.title,
                    seen.seen,
                    known.expected,
                    seen.fix,
                    seen.mend,
                )
                for seen in known.look(case)
            ]
        except (Trouble, ArithmeticError, LookupError, TypeError, ValueError) as error:
            findings.append(_unread(f"{known.id} could not be looked at ({error})"))
    findings += [_unread(f"{what} could not be read") for what in case.symptoms.unread]
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def _unread(seen: str) -> Finding:
    return Finding(
        "not-looked-at",
        "note",
        "Something could not be looked at",
        seen,
        "an answer",
        "look at it on the Mac; the rest of this table is not touched by it",
        None,
    )


def well(case: Case, findings: list[Finding]) -> str:
    """What is well, in one line."""
    snapshot = case.snapshot
    ill = {finding.id for finding in findings if finding.severity != "note"}

    def free(rows: tuple[Known, ...]) -> bool:
        return not ill & {known.id for known in rows}

    memory = f"{snapshot.memory / 1024**3:.0f} GB"
    parts = [f"macOS {snapshot.macos}, {snapshot.chip or snapshot.arch}, {memory}"]
    if free(host.TROUBLES):
        parts.append("awake, and back by itself after a power cut")
    if free(ollama.TROUBLES) and snapshot.ollama_server:
        parts.append(f"Ollama {snapshot.ollama_server} answers")
    if free(models.TROUBLES) and snapshot.ollama_server:
        parts.append(f"{len(case.settings.models)} wanted models, {len(snapshot.models)} there")
    if free(config.TROUBLES) and snapshot.openclaw:
        checked = ", its config is valid" if case.symptoms.verdict.valid else ""
        parts.append(f"OpenClaw {snapshot.openclaw}{checked}")
    if free(proxies.TROUBLES):
        parts.append("no proxy before Ollama")
    if free(gateway.TROUBLES) and case.job:
        parts.append(f"gateway pid {case.job.pid} answers on port {case.port}")
    return "; ".join(parts)
