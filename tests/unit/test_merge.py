"""The merge, case by case: the new text is compared byte by byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawfleet.json5 import Json5Error, loads
from clawfleet.merge import (
    Change,
    Edit,
    Item,
    Merged,
    Refused,
    Remove,
    Set,
    Source,
    apply,
    create,
    show,
    undo,
)
from tests.unit.json5_documents import CORPUS

OLLAMA = ("models", "providers", "ollama")
MODELS = (*OLLAMA, "models")
MODEL = ("agents", "defaults", "model")
GPT = Item("id", "gpt-oss:20b")

WISHES: list[Set] = [
    Set(("gateway",), {"mode": "local", "bind": "loopback", "port": 18789}),
    Set(OLLAMA, {"baseUrl": "http://127.0.0.1:11434/v1", "apiKey": "ollama-local"}),
    Set(
        MODELS,
        [
            {"id": "gpt-oss:20b", "name": "gpt-oss", "contextWindow": 131072, "input": ["text"]},
            {"id": "qwen3-coder", "name": "qwen3", "contextWindow": 131072},
        ],
    ),
    Set(MODEL, {"primary": "ollama/gpt-oss:20b", "fallbacks": ["ollama/qwen3-coder", "zai/glm"]}),
]
REFUSING = {"include.json5", "nested-include.json5", "environment.json5"}


def text_of(text: str, *edits: Edit) -> str:
    return apply(text, edits).text


# name, text, edits, the text that must come out
CASES: list[tuple[str, str, list[Edit], str]] = [
    (
        "a scalar, among comments",
        "{ a /*1*/ : /*2*/ 'x' /*3*/ , // 4\n}",
        [Set(("a",), "it's")],
        "{ a /*1*/ : /*2*/ 'it\\'s' /*3*/ , // 4\n}",
    ),
    ("quotes stay", '{"a": \'x\', "b": 1}', [Set(("a",), "y")], '{"a": \'y\', "b": 1}'),
    ("other type", "{a: 'x'}", [Set(("a",), None)], "{a: null}"),
    ("equal numbers", "{ a: 0x20000, b: 1e3 }", [Set(("a",), 131072), Set(("b",), 1000)], ""),
    ("equal strings", "{ a: '\\u0041' }", [Set(("a",), "A")], ""),
    ("minified", '{"a":1}', [Set(("b",), {"c": [1, 2]})], '{"a":1,"b":{"c":[1,2]}}'),
    ("one line", "{ a: 1 }", [Set(("b c",), "x")], '{ a: 1, "b c": "x" }'),
    ("one line, comma", "{ a: 'y', }", [Set(("b",), "x")], "{ a: 'y', b: 'x', }"),
    (
        "lines, no comma",
        "{\n\t'a': 1 // note\n\t// last word\n}\n",
        [Set(("b",), {"c": "x"})],
        "{\n\t'a': 1, // note\n\t'b': {\n\t\t'c': 'x'\n\t}\n\t// last word\n}\n",
    ),
    (
        "lines, comma, long comment",
        "{\n    a: 1, /* one\n  two */ // three\n}",
        [Set(("b",), 2)],
        "{\n    a: 1, /* one\n  two */ // three\n    b: 2,\n}",
    ),
    (
        "CRLF",
        '{\r\n  "a": 1\r\n}\r\n',
        [Set(("b", "c"), 2)],
        '{\r\n  "a": 1,\r\n  "b": {\r\n    "c": 2\r\n  }\r\n}\r\n',
    ),
    ("empty object", "{}", [Set(("a",), 1)], '{\n  "a": 1\n}'),
    ("empty in one line", '{"b":1,"a":{}}', [Set(("a", "c"), 1)], '{"b":1,"a":{"c":1}}'),
    (
        "empty below lines",
        "{\n\ta: {},\n}",
        [Set(("a", "b"), [])],
        "{\n\ta: {\n\t\tb: []\n\t},\n}",
    ),
    ("comment inside", "{ /* c */ }", [Set(("a",), 1)], '{ /* c */ "a": 1 }'),
    (
        "comment line inside",
        "{\n    // c\n}\n",
        [Set(("a",), 1), Set(("b",), 2)],
        '{\n    // c\n    "a": 1,\n    "b": 2\n}\n',
    ),
    (
        "list by id",
        "{ m: [\n  { id: 'a', mine: 1 }, // keep\n  { id: 'b' },\n] }",
        [Set(("m",), [{"id": "c", "n": 1}, {"id": "a", "n": 2}])],
        "{ m: [\n  { id: 'a', mine: 1, n: 2 }, // keep\n  { id: 'b' },\n  { id: 'c', n: 1 },\n] }",
    ),
    (
        "new element on several lines as the one before",
        "{\n  m: [{\n    id: 'a',\n  }],\n}",
        [Set(("m", Item("id", "b"), "n"), 1)],
        "{\n  m: [{\n    id: 'a',\n  }, {\n    id: 'b',\n    n: 1\n  }],\n}",
    ),
    (
        "no models is no wish to have none",
        "{ m: [{ id: 'a' }] }",
        [Set(("m",), [])],
        "",
    ),
    (
        "flat list",
        "{ f: ['a' /*1*/, /*2*/ 'b', // 3\n 'c'] }",
        [Set(("f",), ["x", "b", "y", "c", "z"])],
        "{ f: ['x' /*1*/, /*2*/ 'b', // 3\n 'y',\n 'c',\n 'z'] }",
    ),
    ("flat list shrinks", "{ f: ['a', 'b', 'c'] }", [Set(("f",), ["b"])], "{ f: ['b'] }"),
    ("flat list to nothing", '{"f":["a","b"]}', [Set(("f",), [])], '{"f":[]}'),
    ("flat list from nothing", '{"f":[]}', [Set(("f",), ["a", 1])], '{"f":["a",1]}'),
    (
        "a string makes place for an object",
        "{ model: 'x' }",
        [Set(("model",), {"primary": "y"})],
        "{ model: { primary: 'y' } }",
    ),
    ("remove first", "{ a: 1, b: 2 }", [Remove(("a",))], "{ b: 2 }"),
    ("remove last", "{ a: 1, b: 2 }", [Remove(("b",))], "{ a: 1 }"),
    ("remove last, comma", "{ a: 1, b: 2, }", [Remove(("b",))], "{ a: 1, }"),
    ("remove only", "{\n  a: 1,\n}", [Remove(("a",))], "{}"),
    (
        "remove leaves the comments",
        "{\n  // of a\n  a: 1, // beside a\n  b: 2 // beside b\n}",
        [Remove(("b",))],
        "{\n  // of a\n  a: 1 // beside a\n  // beside b\n}",
    ),
    (
        "remove between comments",
        "{\n  a: 1, // beside a\n  b /*x*/ : 2 /*y*/, // beside b\n  c: 3,\n}",
        [Remove(("b",))],
        "{\n  a: 1, // beside a\n  /*y*/ // beside b\n  c: 3,\n}",
    ),
    ("remove what shares a line", "{ // c\n a: 1 }", [Remove(("a",))], "{ // c\n }"),
    ("remove what is not there", "{ a: { b: 1 } }", [Remove(("a", "c")), Remove(("b", "c"))], ""),
    ("remove through a scalar", "{ a: 1 }", [Remove(("a", "b"))], ""),
    (
        "remove an element",
        "{ m: [{ id: 'a' }, { id: 'b' }] }",
        [Remove(("m", Item("id", "a")))],
        "{ m: [{ id: 'b' }] }",
    ),
    (
        "prune",
        "{ z: 1, m: { p: [{ id: 'a', n: 1 }] } }",
        [Remove(("m", "p", Item("id", "a"), "n"), prune=True)],
        "{ z: 1 }",
    ),
    (
        "prune stops at what is the user's",
        "{ m: { p: [{ id: 'a', n: 1, mine: 2 }], q: { r: 1 /* why */, }, s: { /* x */ t: 1 } } }",
        [
            Remove(("m", "p", Item("id", "a"), "n"), prune=True),
            Remove(("m", "q", "r"), prune=True),
            Remove(("m", "s", "t"), prune=True),
        ],
        "{ m: { p: [{ id: 'a', mine: 2 }], q: { /* why */ }, s: { /* x */ } } }",
    ),
    (
        "what was written goes, what is the user's stays",
        "{ p: { a: 1, mine: 2, m: [{ id: 'x', n: 1 }, { id: 'y', n: 1, mine: 3 }] } }",
        [Remove(("p",), written={"a": 1, "m": [{"id": "x", "n": 1}, {"id": "y", "n": 1}]})],
        "{ p: { mine: 2, m: [{ id: 'y', mine: 3 }] } }",
    ),
    (
        "a reference of ours may go",
        "{ k: '${X}', l: '${X}' }",
        [Remove(("k",), written="${X}"), Set(("l",), "y", written="${X}")],
        "{ l: 'y' }",
    ),
    (
        "an object of ours may become a string",
        "{ k: { source: 'env', id: 'X' } }",
        [Set(("k",), "y", written={"source": "env", "id": "X"})],
        "{ k: 'y' }",
    ),
    ("an own key beside an include", "{ $include: './x', a: 1 }", [Set(("a",), 1)], ""),
    ("the same reference", "{ a: '${X}' }", [Set(("a",), "${X}")], ""),
    ("a literal dollar", "{ a: '$${X}' }", [Set(("a",), "y")], "{ a: 'y' }"),
    ("given text", "{ a: 1 }", [Set(("a",), Source("0x10"))], "{ a: 0x10 }"),
]


@pytest.mark.parametrize(
    ("text", "edits", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_merge(text: str, edits: list[Edit], wanted: str) -> None:
    result = apply(text, edits)
    assert result.text == (wanted or text)
    assert bool(result.changes) == bool(wanted)
    if not any(isinstance(edit, Remove) and edit.prune for edit in edits):
        assert apply(result.text, edits).changes == []


# name, text, edit, line, column, words of the reason
REFUSALS: list[tuple[str, str, Edit, int, int, str]] = [
    ("reference", "{\n a: '${X}' }", Set(("a",), "y"), 2, 5, "comes from the environment"),
    ("part reference", "{ a: 'http://${X}/' }", Set(("a",), "y"), 1, 6, "environment"),
    ("reference in a list", "{ f: ['${X}'] }", Set(("f",), ["y"]), 1, 7, "environment"),
    ("removing one", "{ a: '${X}' }", Remove(("a",)), 1, 6, "environment"),
    ("include", "{ a: { $include: 'x' } }", Set(("a",), 1), 1, 8, "another file ($include)"),
    ("include in front", "{ a: { $include: 'x' } }", Set(("a", "b"), 1), 1, 8, "$include"),
    ("include at the root", "{ $include: 'x' }", Set(("a", "b"), 1), 1, 3, "$include"),
    ("include beside", "{ $include: 'x', a: 1 }", Set(("a",), 2), 1, 3, "$include"),
    ("removing beside", "{ $include: 'x', a: 1 }", Remove(("a",)), 1, 3, "$include"),
    ("removing it", "{ a: { $include: 'x' } }", Remove(("a",)), 1, 8, "$include"),
    ("element", "{ m: [{ $include: 'x' }] }", Set(("m", GPT, "a"), 1), 1, 7, "$include"),
    ("element's id", "{ m: [{ id: '${X}' }] }", Set(("m", GPT, "a"), 1), 1, 7, "environment"),
    ("list in the way", "{\n  models: [] }", Set(OLLAMA, {}), 2, 11, "models is a list and not"),
    ("null in the way", "{ models: null }", Set(OLLAMA, {}), 1, 11, "models is null and not"),
    (
        "string in the way",
        "{ a: 'x' }",
        Set(("a", "b"), 1),
        1,
        6,
        "a is a string and not an object",
    ),
    (
        "object for a list",
        "{ m: {} }",
        Set(("m", GPT, "a"), 1),
        1,
        6,
        "m is an object and not a list",
    ),
    ("object there", "{ a: { b: 1 } }", Set(("a",), "x"), 1, 6, "an object stands here"),
    ("list there", "{ a: [1] }", Set(("a",), {"b": 1}), 1, 6, "a list stands here"),
    ("list of objects", "{ a: [{}] }", Set(("a",), ["x"]), 1, 6, "the list holds objects"),
    ("object for list", "{ a: {} }", Set(("a",), ["x"]), 1, 6, "an object stands here"),
    ("key twice", "{ a: { b: 1 },\n a: {} }", Set(("a", "b"), 2), 2, 2, "this is there twice"),
    ("element twice", "{ m: [{id:1},{id:1}] }", Set(("m", Item("id", 1), "b"), 2), 1, 14, "twice"),
    ("no object", "[]", Set(("a",), 1), 1, 1, "the document is a list and not an object"),
]


@pytest.mark.parametrize(
    ("text", "edit", "line", "column", "reason"),
    [case[1:] for case in REFUSALS],
    ids=[case[0] for case in REFUSALS],
)
def test_refusals(text: str, edit: Edit, line: int, column: int, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        apply(text, [edit])
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in caught.value.reason
    assert caught.value.path[: len(edit.path)] == edit.path
    assert show(edit.path) in str(caught.value)


@pytest.mark.parametrize(
    "edit",
    [
        Set((), {}),
        Remove(()),
        Set((Item("id", "a"), "id"), "b"),
        Remove((Item("id", "a"), "id")),
        Set(("m", Item("id", "a")), 1),
        Set(("m", Item("id", "a")), {"id": "b"}),
        Set(("m",), {"x": [{"id": "a"}, {"id": "a"}]}),
    ],
)
def test_edits_that_no_document_satisfies_are_errors_of_the_caller(edit: Edit) -> None:
    with pytest.raises(ValueError, match=r"path|element") as caught:
        apply("{}", [edit])
    assert not isinstance(caught.value, Json5Error)


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - REFUSING))
def test_the_corpus_takes_the_wishes_and_gives_them_back(name: str) -> None:
    text = CORPUS[name]
    result = apply(text, WISHES)
    value = loads(result.text)
    assert value["gateway"].items() >= WISHES[0].value.items()
    assert value["agents"]["defaults"]["model"] == WISHES[3].value
    models = value["models"]["providers"]["ollama"]["models"]
    assert {"gpt-oss:20b", "qwen3-coder"} <= {model["id"] for model in models}
    assert apply(result.text, WISHES) == Merged(result.text, [])
    assert apply(result.text, undo(result.changes)).text == text


@pytest.mark.parametrize("name", sorted(REFUSING))
def test_the_corpus_of_references_is_refused(name: str) -> None:
    with pytest.raises(Refused, match=r"\$include|\$\{\.\.\.\}"):
        apply(CORPUS[name], WISHES)


def test_a_rich_configuration_keeps_everything_of_the_user() -> None:
    text = CORPUS["rich.json5"]
    result = text_of(text, Set(MODELS, [{"id": "gpt-oss:20b", "contextWindow": 131072}]))
    assert result == text.replace("contextWindow: 65536", "contextWindow: 131072")


def test_line_ends_and_mark_of_the_corpus_stay() -> None:
    crlf = text_of(CORPUS["crlf.json5"], *WISHES)
    assert crlf.count("\n") == crlf.count("\r\n") > CORPUS["crlf.json5"].count("\n")
    assert text_of(CORPUS["bom.json5"], *WISHES).startswith("\ufeff{\n")
    assert "\n" not in text_of(CORPUS["minified.json"], *WISHES)
    assert text_of(CORPUS["no-final-newline.json5"], *WISHES).endswith("\n}")


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t", "\ufeff", "\ufeff\n"])
def test_an_empty_file_becomes_a_new_document(text: str) -> None:
    result = apply(text, WISHES[:1])
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    assert result.text == bom + create({"gateway": WISHES[0].value})
    assert apply(text, [Remove(("a",))]) == Merged(text, [])


def test_a_refusal_names_the_place_in_the_text_that_the_user_has() -> None:
    edits = [Set(("a", "b"), {"c": 1, "d": {"e": 2}}), Set(("m", "primary"), "x")]
    with pytest.raises(Refused, match="line 3, column 5: m"):
        apply("{\n  a: {},\n\tm: '${M}'\n}\n", edits)


def test_a_file_of_comments_is_no_empty_file() -> None:
    with pytest.raises(Json5Error, match="the text ends"):
        apply("// my notes\n", WISHES)


def test_damaged_text_is_refused_before_anything_else() -> None:
    with pytest.raises(Json5Error, match="line 2, column 4: raw control character"):
        apply("{ gateway: {},\n  '\x01': 1 }", WISHES)


@pytest.mark.parametrize(
    "value", [{}, {"a": [], "b": {}}, {"a": [1, "ü🦞", None, True, 1.5], "b": {"c": {"d": []}}}]
)
def test_a_fresh_file_is_written_as_openclaw_writes_it(value: Any) -> None:
    assert create(value) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def test_what_json_has_no_word_for() -> None:
    assert create([float("inf"), float("-inf")]) == "[\n  Infinity,\n  -Infinity\n]\n"
    assert loads(create("\u2028\ud83e\x00'\"")) == "\u2028\ud83e\x00'\""
    with pytest.raises(TypeError, match="set is not a JSON value"):
        create({"a": set()})


def test_changes_tell_what_happened() -> None:
    text = "{ a: 0x10, f: ['x'], d: 1, m: [{ id: 'u' }] }"
    edits: list[Edit] = [
        Set(("a",), 17),
        Set(("f",), ["x", "y"]),
        Remove(("d",)),
        Set(("m", GPT, "name"), "n"),
        Set(("o", "p"), {"q": 1}),
    ]
    assert apply(text, edits).changes == [
        Change(("a",), "set", 16, 17, "0x10"),
        Change(("f",), "set", ["x"], ["x", "y"], "['x']"),
        Change(("d",), "remove", 1, None, "1"),
        Change(("m", GPT), "add", None, {"id": "gpt-oss:20b", "name": "n"}),
        Change(("o",), "add", None, {"p": {"q": 1}}),
    ]


def test_undo_leaves_what_the_user_added_since() -> None:
    result = apply("{ a: 1 }", [Set(("p",), {"x": 1, "m": [{"id": "g", "n": 1}]})])
    since = result.text.replace("n: 1", "n: 1, mine: 2").replace("x: 1", "x: 1 /* hm */, y: 2")
    assert loads(text_of(since, *undo(result.changes))) == {
        "a": 1,
        "p": {"y": 2, "m": [{"id": "g", "mine": 2}]},
    }


def test_undo_brings_back_what_was_removed() -> None:
    result = apply("{ a: 0x10, b: 2 }", [Remove(("a",))])
    assert text_of(result.text, *undo(result.changes)) == "{ b: 2, a: 0x10 }"


def test_paths_in_words() -> None:
    assert show((*MODELS, GPT, "name")) == "models.providers.ollama.models[id=gpt-oss:20b].name"
    assert show(()) == "the document"
