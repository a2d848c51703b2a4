"""What people's files may hold after a crash, a bad merge or a bad day: a hundred thousand damaged
inputs for each reader, and no other end than a value or the error that the reader promises."""

from __future__ import annotations

import copy
import random
import runpy
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clawfleet import hosts, settings
from clawfleet.json5 import Json5Error, loads
from clawfleet.merge import Item, Merged, Refused, Set, apply, undo
from clawfleet.settings import SettingsError
from tests.unit.json5_documents import DATA
from tests.unit.mutations import COUNT, LONGEST, SEED, Mutator

REPO = Path(__file__).parents[2]
DEFAULTS = {
    name: value
    for name, value in runpy.run_path(str(REPO / "group_data" / "all.py")).items()
    if not name.startswith("_")
}

JSON5 = [path.read_bytes() for path in sorted(DATA.rglob("*")) if path.is_file()]
YAML = [path.read_bytes() for path in sorted((DATA.parent / "hosts").iterdir())]
YAML.append((REPO / "hosts.example.yml").read_bytes())

JSON5_TOKENS = (
    "{ } [ ] : , ' \" \\ // /* */ \n \r \r\n \\u \\x \\u0061 \\ud83e \\0 \\\n true null Infinity "
    "NaN + - . e E 0x 0 01 1e400 0xg $include ${A} __proto__ id models gateway agents providers "
    "ollama gpt-oss:20b 'a':1, [], {}, ''"
)
YAML_TOKENS = (
    "{ } [ ] : , - ? | > & * ! % @ ` ' \" # \n \r \r\n : \n-  \n  --- ... <<: &a *a !!int !!float "
    "!!timestamp !!binary !!set !!omap !!pairs !!null !!bool !!str !!map !!seq !x !!python/none "
    "~ yes no off null .inf .nan 0x 0o 0b1 1:1:1 2001-99-99 2001-12-14 \\ud800 \\x00 \\U00110000 "
    "= %YAML 9.9 all hosts children vars [1:3] [a:f] [1:999999999] [01:0x] [9:1] models "
    "ollama_port ansible_host ssh_user id primary fallbacks _x {{"
)

WISHES = [
    Set(("gateway", "mode"), "local"),
    Set(
        ("models", "providers", "ollama", "models"),
        [{"id": "gpt-oss:20b", "contextWindow": 32768}, {"id": "qwen3-coder"}],
    ),
    Set(("agents", "defaults", "model"), {"primary": "ollama/gpt-oss:20b", "fallbacks": []}),
    Set(("agents", "list", Item("id", "main"), "model"), "ollama/gpt-oss:20b"),
]


def tokens(text: str) -> list[bytes]:
    return [token.encode() for token in text.split(" ") if token]


def fuzz(
    mutator: Mutator, read: Callable[[bytes], str], capsys: pytest.CaptureFixture[str]
) -> Counter[str]:
    """How often each end came; an end that `read` does not know fails with its input."""
    ends: Counter[str] = Counter()
    for number, data in enumerate(mutator.some(COUNT)):
        assert len(data) <= LONGEST
        try:
            ends[read(data)] += 1
        except BaseException as error:
            raise AssertionError(f"seed {SEED}, input {number}: {data!r}") from error
    tell(ends, capsys)
    return ends


def tell(ends: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What was tried and what came of it, also when all is well."""
    with capsys.disabled():
        counted = ", ".join(f"{count} {end}" for end, count in ends.most_common())
        print(f" seed {SEED}: {counted} ", end="")


def load(data: Mapping[str, Any], where: str) -> str:
    """Load settings; what is loaded is JSON, and an error says where it was."""
    said = where
    try:
        assert settings.load(data, where=where).models
    except SettingsError as error:
        said = str(error)
    assert said.startswith(where)
    return "loaded" if said == where else "refused"


def shown(data: object) -> str:
    """For a message: Python refuses to print numbers of more than 4300 digits."""
    try:
        return repr(data)
    except (ValueError, RecursionError) as error:
        return f"not to be shown ({error})"


def read_json5(data: bytes) -> str:
    """Reading, and a merge that has to keep its promises on whatever can be read."""
    # Lone surrogates stand for what is no UTF-8.
    text = data.decode("utf-8", "surrogateescape")
    blank = not text.strip("\ufeff \t\r\n")
    end, refusal = "merged", Json5Error(1, 1, "")
    try:
        loads(text)
    except Json5Error as error:
        end, refusal = "no JSON5", error
    try:
        merged = apply(text, WISHES)
    except Refused as error:
        end, refusal = "refused", error
    except Json5Error as error:
        refusal = error
    else:
        assert end == "merged" or blank
        assert apply(merged.text, WISHES) == Merged(merged.text, [])
        assert blank or apply(merged.text, undo(merged.changes)).text == text
    assert 1 <= refusal.line <= text.count("\n") + text.count("\r") + 1
    assert 1 <= refusal.column <= len(text) + 1
    assert len(refusal.message) < 500
    return end


def test_a_damaged_config_is_merged_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    nests = [(b"[", b"]"), (b"{a:", b"}"), (b"/*", b"*/"), (b"[{'a':[", b"]}]"), (b"(", b")")]
    ends = fuzz(Mutator(JSON5, tokens(JSON5_TOKENS), nests), read_json5, capsys)
    # A mutator that breaks everything, or nothing, would prove little.
    assert ends["merged"] > COUNT // 20
    assert ends["refused"] > COUNT // 100
    assert ends["no JSON5"] > COUNT // 4


def read_hosts(data: bytes) -> str:
    """hosts.yml and the settings of every host in it, as inventory.py reads them."""
    text = data.decode("utf-8", "replace")
    said, end = "hosts.yml", "read"
    try:
        fleet = hosts.parse(text, where=said)
    except SettingsError as error:
        said, fleet, end = str(error), hosts.Fleet(), "refused"
    assert said.startswith("hosts.yml")
    for name, own in list(fleet.hosts.items())[:3]:
        if load({**DEFAULTS, **own}, f"host {name}") == "refused":
            end = "settings refused"
    return end


def test_a_damaged_inventory_is_read_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    nests = [(b"[", b"]"), (b"{a: ", b"}"), (b"- ", b""), (b"{children: {a: ", b"}}"), (b"? ", b"")]
    ends = fuzz(Mutator(YAML, tokens(YAML_TOKENS), nests), read_hosts, capsys)
    assert ends["read"] > COUNT // 50
    assert ends["settings refused"] > COUNT // 200
    assert ends["refused"] > COUNT // 4


class Values:
    """Settings of which some are anything that YAML, JSON or Python could hold."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.words = [word for word in (JSON5_TOKENS + YAML_TOKENS).split(" ") if word]
        self.words += ["gpt-oss:20b", "ollama/gpt-oss:20b", "zai/glm", "main", "2026.9.6", "/opt/x"]
        self.words += ["\x00", "\ud800", "\u202e", "\U0001f99e", "${A}", "$(id)", "x" * 5000]
        self.keys = [*settings.FIELDS, *settings.ModelWish.model_fields, *settings.MIRROR_VARIABLES]

    def scalar(self) -> Any:
        pick = self.random.randrange(9)
        if pick < 4:
            return "".join(self.random.choices(self.words, k=self.random.choice((0, 1, 1, 2, 9))))
        if pick < 6:
            return self.random.choice((0, -1, 1, 4096, 65536, 2**63, -(2**64), 16**5000))
        odd = (None, True, False, 1.5, float("nan"), float("inf"), 1e308, b"main", b"\xff", ())
        return self.random.choice(odd)

    def value(self, depth: int = 0) -> Any:
        pick = self.random.randrange(6)
        if depth > 3 or pick < 3:
            return self.scalar()
        if pick < 5:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.key(): self.value(depth + 1) for _ in range(self.random.randrange(4))}

    def key(self) -> Any:
        return self.random.choice(self.keys) if self.random.random() < 0.8 else self.scalar()

    def data(self) -> dict[Any, Any]:
        """The defaults with one or two settings, or parts of a model, exchanged."""
        data = copy.deepcopy(DEFAULTS)
        places = (data, data, *data["models"])
        for _ in range(self.random.choice((1, 1, 2))):
            place = self.random.choice(places)
            own = settings.FIELDS if place is data else settings.ModelWish.model_fields
            key = self.random.choice(tuple(own)) if self.random.random() < 0.7 else self.key()
            # The names of settings are text, whoever gives them.
            place[key if place is not data or isinstance(key, str) else "x"] = self.value()
        if self.random.random() < 0.01:
            places[2]["input"] = [places]
            places[2]["x"] = places[2]
        return data


def test_damaged_settings_are_loaded_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    values = Values()
    ends: Counter[str] = Counter()
    for number in range(COUNT):
        data = values.data()
        try:
            end = load(data, f"test {number}")
        except BaseException as error:
            raise AssertionError(f"seed {SEED}, input {number}: {shown(data)}") from error
        ends[end] += 1
    tell(ends, capsys)
    assert ends["loaded"] > COUNT // 50
    assert ends["refused"] > COUNT // 4


HARD = {
    "all-nul.json5": "line 1, column 1: U+0000",
    "array.json5": "line 1, column 1: gateway.mode: the document is a list",
    "conflict-markers.json5": "line 2, column 1: '<'",
    "control-character.json5": "line 2, column 23: raw control character U+001B",
    "curly-quotes.json5": "line 1, column 20: ",
    "deep.json5": "line 1, column 133: nested deeper than 128 levels",
    "duplicate-owned.json5": "line 4, column 3: models.providers.ollama",
    "environment-in-key.json5": "line 2, column 66: models.providers.ollama",
    "environment-owned.json5": "line 2, column 32: agents.defaults.model",
    "include-array-owned.json5": "line 2, column 26: models.providers.ollama",
    "include-in-list.json5": "line 2, column 46: models.providers.ollama.models",
    "missing-comma.json5": "line 3, column 3: 'c'",
    "nul-padded.json5": "line 2, column 1: U+0000",
    "only-comments.json5": "line 3, column 1: the text ends",
    "text.json5": "line 1, column 1: gateway.mode: the document is a string",
    "truncated.json5": "line 2, column 44: this string is never closed",
    "two-documents.json5": "line 2, column 1: '{'",
    "web-page.json5": "line 1, column 1: '<'",
    "yaml.json5": "line 1, column 1: 'g'",
}
NO_TEXT = {"gzip.json5", "latin-1.json5", "utf-16.json5"}
BLANK = {"empty.json5", "only-a-mark.json5"}


def test_the_hard_corpus_is_all_tried() -> None:
    assert {path.name for path in (DATA / "hard").iterdir()} == HARD.keys() | NO_TEXT | BLANK


@pytest.mark.parametrize("name", HARD)
def test_what_no_merge_may_touch_is_refused_with_its_place(name: str) -> None:
    text = (DATA / "hard" / name).read_bytes().decode()
    with pytest.raises(Json5Error) as caught:
        apply(text, WISHES)
    assert str(caught.value).startswith(HARD[name])


def test_a_config_of_two_megabytes_keeps_every_byte_that_is_not_ours() -> None:
    whole = (DATA / "every-section.json5").read_text(encoding="utf-8")
    _, head, rest = whole.partition("{\n")
    padding = "".join(
        f"  plugin{number}: {{ note: 'kept', /* {number} */ list: [0x{number:x}, 1., ], }},\n"
        for number in range(32_000)
    )
    text = head + padding + rest
    assert len(text) > 2_000_000
    merged = apply(text, WISHES[1:2])
    assert padding in merged.text
    assert apply(merged.text, undo(merged.changes)).text == text
