"""What counts as a change in pyinfra's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import changes


def operation(name: str, **hosts: list[str]) -> dict[str, Any]:
    return {"name": name, "success": [], "error": [], "no_change": [], **hosts}


def document(*operations: dict[str, Any], failed: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"plan": [], "results": {"operations": list(operations), "failed_hosts": list(failed)}}


def test_nothing_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document(operation("a", no_change=["mac2", "mac1"]))))
    assert changes.main([str(file)]) == 0
    assert capsys.readouterr().out == "no change on mac1, mac2\n"


def test_changes_and_failures_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.json"
    ran = document(
        operation("Ollama answers", success=["mac2", "mac1"], no_change=["mac3"]),
        operation("runs and is well", error=["mac3"]),
        failed=("mac3", "mac4"),
    )
    file.write_text(json.dumps(ran))
    assert changes.main([str(file)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "mac1: Ollama answers",
        "mac2: Ollama answers",
        "mac3 failed: runs and is well",
        "mac4 failed",
    ]


@pytest.mark.parametrize(
    "text", ["", '{"plan": [], "results": null}', "[]", json.dumps(document())]
)
def test_what_is_no_run_is_not_taken_for_one_without_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    assert changes.main([str(file)]) == 2
    assert "expected what pyinfra --json prints" in capsys.readouterr().err
