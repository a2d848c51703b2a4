"""Commands of SSH sessions at the level "ports", where the client does not behave."""

from __future__ import annotations

import asyncio
import sys
import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab import terminal
from tests.lab.test_levels import alive, eventually


def test_a_client_that_goes_while_its_command_starts_ends_it() -> None:
    mark = f"86{uuid.uuid4().int % 10**9}"
    started = []

    async def gone(*_: Any, **__: Any) -> None:
        started.append(await asyncio.to_thread(eventually, lambda: alive(mark)))
        raise ConnectionResetError

    session: Any = SimpleNamespace(get_terminal_type=lambda: None, redirect=gone)
    argv = [sys.executable, "-S", "-c", f"import time; time.sleep(600)  # {mark}"]
    environment = {"PATH": "/usr/bin:/bin"}
    with pytest.raises(ConnectionResetError):
        asyncio.run(terminal.serve(session, sys.executable, argv, environment, "/", set()))
    assert started == [True]
    assert eventually(lambda: not alive(mark))
