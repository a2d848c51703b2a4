from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from clawfleet import ollama_server as server
from clawfleet.ollama_server import Environment, Kind, Owner, Situation, Version
from clawfleet.snapshot import Job, Listener, Process, Snapshot
from tests.unit.factory import BREW, bare, equipped, file

APP = "/Applications/Ollama.app/Contents"
# Whether installed, who listens -> what happens with a server of the installed version, of another
# one, and with one that is silent. "=": as it is; "*": by its environment.
TABLE = {
    (True, "nobody"): "start start start",
    (True, "own"): "* restart restart",
    (True, "by hand"): "use refuse refuse",
    (True, "somebody else"): "use refuse refuse",
    (True, "no Ollama"): "refuse refuse refuse",
    (True, "the other"): "refuse refuse refuse",
    (False, "nobody"): "install+start install+start install+start",
    (False, "own"): "install+restart install+restart install+restart",
    (False, "by hand"): "refuse refuse refuse",
    (False, "somebody else"): "refuse refuse refuse",
    (False, "no Ollama"): "refuse refuse refuse",
    (False, "the other"): "refuse refuse refuse",
}
EVERYTHING = list(
    product(
        get_args(Kind),
        (True, False),
        get_args(Owner),
        get_args(Version),
        get_args(Environment),
        (True, False),
    )
)


def expected(now: Situation) -> tuple[str, ...]:
    mine, other = ("formula", "app") if now.wanted == "formula" else ("app", "formula")
    who = {mine: "own", other: "the other"}.get(now.owner, now.owner)
    cell = TABLE[now.installed, who].split()[get_args(Version).index(now.version)]
    if cell == "*":
        cell = {"same": "", "not known": "", "old": "restart"}[now.environment]
    if who == "nobody" and now.present:
        cell = cell.replace("start", "restart")
    return tuple(cell.split("+")) if cell else ()


def test_every_combination() -> None:
    assert len(EVERYTHING) == 2 * 2 * 6 * 3 * 3 * 2
    for values in EVERYTHING:
        now = Situation(*values)
        decision = server.decide(now)
        assert decision.actions == expected(now), now
        changes = {"start", "restart"} & set(decision.actions)
        assert bool(decision.reason) == bool(changes), now


def test_nothing_that_is_not_ours_is_ended() -> None:
    for values in EVERYTHING:
        now = Situation(*values)
        if now.owner not in ("nobody", "formula" if now.wanted == "formula" else "app"):
            assert not {"start", "restart", "install"} & set(server.decide(now).actions), now


def listens(command: str, *, pid: int = 700, ppid: int = 1, age: int = 60) -> Listener:
    return Listener(11434, (Process(pid, ppid, age, command),))


def job(pid: int | None, **environment: str) -> Job:
    return Job("running", pid, 1, "(never exited)", {}, environment)


def seen(port: Listener, **more: object) -> Snapshot:
    values = {"ollama_port": port, "ollama_open": True, "ollama_server": "0.32.3", **more}
    return replace(equipped(), **values)  # type: ignore[arg-type]


FORMULA = f"{BREW}/opt/ollama/bin/ollama serve"


@pytest.mark.parametrize(
    ("snapshot", "owner"),
    [
        (bare(), "nobody"),
        (seen(listens(FORMULA), ollama_job=job(700)), "formula"),
        (seen(listens(FORMULA, ppid=650), ollama_job=job(650)), "formula"),
        (seen(listens(f"{BREW}/Cellar/ollama/0.31.0/bin/ollama serve")), "formula"),
        # Homebrew's own program, started by a person: `brew services` knows nothing of it.
        (seen(listens(FORMULA), ollama_job=None), "by hand"),
        (seen(listens(FORMULA), ollama_job=job(None)), "by hand"),
        (seen(listens(FORMULA, pid=701), ollama_job=job(700)), "by hand"),
        (
            seen(listens(f"{APP}/Resources/ollama serve", ppid=600), ollama_app_pids=(600,)),
            "app",
        ),
        (seen(listens(f"{APP}/Resources/ollama serve"), ollama_app_pids=()), "by hand"),
        (seen(listens("ollama serve")), "by hand"),
        (seen(listens("ollama serve"), ollama_server=None), "no Ollama"),
        (seen(listens("nc -l 11434"), ollama_server=None), "no Ollama"),
        (seen(Listener(11434)), "somebody else"),
        (seen(Listener(11434), ollama_server=None), "somebody else"),
        (seen(Listener(11434), ollama_open=False, ollama_server=None), "nobody"),
    ],
)
def test_who_listens(snapshot: Snapshot, owner: str) -> None:
    assert server.owner(snapshot) == owner


WANTED = {"OLLAMA_CONTEXT_LENGTH": "32768", "OLLAMA_ORIGINS": "a b", "OLLAMA_API_KEY": "x"}
RIGHT, OLD = {"OLLAMA_CONTEXT_LENGTH": "32768"}, {"OLLAMA_CONTEXT_LENGTH": "4096"}


@pytest.mark.parametrize(
    ("variables", "given", "age", "environment"),
    [
        (RIGHT, OLD, 5000, "same"),  # the process itself knows best
        (OLD, RIGHT, 5, "old"),
        ({}, RIGHT, 5, "old"),
        (None, RIGHT, 5000, "same"),  # hidden: launchd says what it gave
        (None, OLD, 5, "old"),
    ],
)
def test_the_environment_of_the_formulas_server(
    variables: dict[str, str] | None, given: dict[str, str], age: int, environment: str
) -> None:
    snapshot = seen(
        listens(FORMULA, age=age), ollama_job=job(700, **given), ollama_variables=variables
    )
    assert server.environment(snapshot, WANTED) == environment


@pytest.mark.parametrize(
    ("age", "environment"),
    [(100, "old"), (63, "old"), (62, "not known"), (60, "not known"), (5, "not known")],
)
def test_where_nothing_shows_it_the_file_has_to_be_older(age: int, environment: str) -> None:
    snapshot = seen(listens(FORMULA, age=age), ollama_job=job(700))
    text = "OLLAMA_CONTEXT_LENGTH=32768\n"
    env = file(snapshot.ollama_env.path, text, mtime=snapshot.now - 60)
    snapshot = replace(snapshot, ollama_env=env)
    hidden = replace(snapshot, ollama_job=None, ollama_variables=None)
    # Without a job it is nobody's, whose file is no concern of that server.
    assert server.environment(hidden, WANTED) == "not known"
    assert server.running(hidden) is None
    assert server.environment(snapshot, WANTED) == environment


def test_what_can_be_compared() -> None:
    assert server.comparable(WANTED) == RIGHT
    assert server.comparable({"OLLAMA_X": '"q"', "Z_TOKEN": "x"}) == {}
    text = "# OLLAMA_A=1\nOLLAMA_B=2\r\n\nnothing\nOLLAMA_C=a=b\n"
    assert server.assignments(text) == {"OLLAMA_B": "2", "OLLAMA_C": "a=b"}
    lacking = seen(listens(FORMULA), ollama_job=job(700, **OLD))
    assert server.differing(lacking, WANTED) == [*RIGHT]


def test_a_proxy_is_known_by_launchds_word_only() -> None:
    wanted = {"HTTPS_PROXY": "http://10.0.0.5:7890"}
    for given, variables, lacks in (
        (wanted, {}, []),
        (RIGHT, {}, ["HTTPS_PROXY"]),
        (RIGHT, None, ["HTTPS_PROXY"]),
        ({}, {}, []),
    ):
        snapshot = seen(listens(FORMULA), ollama_job=job(700, **given), ollama_variables=variables)
        assert server.differing(snapshot, wanted) == lacks, (given, variables)
