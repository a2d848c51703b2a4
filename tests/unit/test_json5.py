"""The JSON5 reader: the grammar of the npm package ``json5``, its errors, its positions."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet.json5 import DEEPEST, Json5Error, is_name, loads, parse, plain, position, same
from tests.unit.json5_documents import CORPUS, Written, documents, objects

# Each pair was compared with the package json5 2.2.3, as OpenClaw ships it.
VALID: list[tuple[str, Any]] = [
    ("{a:1,a:2}", {"a": 2}),
    ("[]", []),
    ("[1,]", [1]),
    ("{a:1,}", {"a": 1}),
    ("\ufeff\u2028 1 \u00a0", 1),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("5.e3", 5000.0),
    ("1E+2", 100.0),
    ("+0x1F", 31),
    ("-0Xff", -255),
    ("+Infinity", math.inf),
    ("-Infinity", -math.inf),
    ("1e999", math.inf),
    ("9" * 5000, math.inf),
    ("0x" + "f" * 400, math.inf),
    (r"{\u0061b: 1, $_: 2, ключ: 3, aé\u0301: 4}", {"ab": 1, "$_": 2, "ключ": 3, "aé\u0301": 4}),
    ("'say \"hi\"'", 'say "hi"'),
    (r"'it\'s'", "it's"),
    (r'"\x41\u4f60\0\v\q\/"', "A\u4f60\0\vq/"),
    (r'"\ud83e\udd9e"', "🦞"),
    (r'"\ud83e"', "\ud83e"),
    ('"a\\\nb\\\r\nc\\\rd\\\u2028e"', "abcde"),
    ('"\u2028"', "\u2028"),
    ("{'a\tb': 'c\\\td\t'}", {"a\tb": "c\td\t"}),
    ("/**/{/***/a/*:*/:/*1*/1/*,*/,/*}*/}//", {"a": 1}),
    ("[true,false,null]", [True, False, None]),
    ("// c\u2028 1", 1),
]

INVALID: list[tuple[str, int, int, str]] = [
    ("", 1, 1, "the text ends where a value should be"),
    ("// only a comment", 1, 18, "the text ends where a value should be"),
    ("{a:1 b:2}", 1, 6, "'b' where ',' or '}' should be"),
    ("{a:1}}", 1, 6, "'}' where the end of the text should be"),
    ("\ufeff{a:\r\n\t@}", 2, 2, "'@' where a value should be"),
    ("\ufeff{@}", 1, 2, "'@' where a key or '}' should be"),
    ("{,}", 1, 2, "',' where a key or '}' should be"),
    ("[,]", 1, 2, "',' where a value should be"),
    ("[1,,2]", 1, 4, "',' where a value should be"),
    ("{1a:1}", 1, 2, "'1' where a key or '}' should be"),
    ("{a b:1}", 1, 4, "'b' where ':' after the key should be"),
    ("{a-b:1}", 1, 3, "'-' where ':' after the key should be"),
    (r"{a\u0020b:1}", 1, 3, "this character may not stand in a key without quotes"),
    (r"{a\x:1}", 1, 3, "'\\' where a key or '}' should be"),
    ("01", 1, 2, "'1' where the end of the text should be"),
    ("0x", 1, 2, "'x' where the end of the text should be"),
    ("- 1", 1, 1, "'-' where a value should be"),
    ("True", 1, 1, "'T' where a value should be"),
    ("'a\nb'", 1, 3, "the line ends inside a string"),
    ("'a\x1fb'", 1, 3, "raw control character U+001F in a string"),
    ("'a\tb\\\tc\x0b'", 1, 8, "raw control character U+000B in a string"),
    ("'a\tb\\", 1, 1, "this string is never closed"),
    ('"a\\\x01"', 1, 4, "raw control character U+0001 in a string"),
    ("{'\x00':1}", 1, 3, "raw control character U+0000 in a string"),
    ("[\n  'abc", 2, 3, "this string is never closed"),
    ("'a\\", 1, 1, "this string is never closed"),
    ("{/* x", 1, 2, "this comment is never closed"),
    ("{a:1 /", 1, 6, "'/' where ',' or '}' should be"),
    (r"'ab\1'", 1, 4, "octal escapes are not JSON5"),
    (r"'\01'", 1, 2, "octal escapes are not JSON5"),
    (r"'\x4'", 1, 2, r"'\x' needs 2 hex digits"),
    (r"'\u12'", 1, 2, r"'\u' needs 4 hex digits"),
    ("\x1b[31m", 1, 1, "U+001B where a value should be"),
    ("[" * (DEEPEST + 1), 1, DEEPEST + 1, f"nested deeper than {DEEPEST} levels"),
    ("[" * 100_000, 1, DEEPEST + 1, f"nested deeper than {DEEPEST} levels"),
]


@pytest.mark.parametrize(("text", "value"), VALID)
def test_reads(text: str, value: Any) -> None:
    assert same(loads(text), value)


def test_not_a_number_is_read() -> None:
    assert math.isnan(loads("NaN"))
    assert math.isnan(loads("[-NaN]")[0])


@pytest.mark.parametrize(("text", "line", "column", "message"), INVALID)
def test_refuses(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(Json5Error) as caught:
        loads(text)
    assert (caught.value.line, caught.value.column, caught.value.message) == (line, column, message)


def test_an_error_shows_no_more_than_one_character_of_the_text() -> None:
    with pytest.raises(Json5Error) as caught:
        loads('{ apiKey: "sk-planted-secret" sk-planted-secret }')
    assert "planted" not in str(caught.value)


def test_nesting_up_to_the_bound_is_read() -> None:
    value: Any = loads("[" * DEEPEST + "]" * DEEPEST)
    for _ in range(DEEPEST - 1):
        (value,) = value
    assert value == []


def test_integers_stay_integers() -> None:
    assert [type(number) for number in loads("[1, 0x10, -2, 1.0, 1e3]")] == [
        int,
        int,
        int,
        float,
        float,
    ]


def test_values_stand_where_the_tree_says() -> None:
    text = "{ a : 'x' , /* b: 0 */ 'b' : [ 0x10 , { c:null } ] , }"
    root = parse(text)
    assert plain(root) == {"a": "x", "b": [16, {"c": None}]}
    first, second = root.entries  # type: ignore[union-attr]
    assert text[first.start : first.key_end] == "a"
    assert text[second.start : second.key_end] == "'b'"
    assert text[first.value.start : first.value.end] == "'x'"
    assert text[second.value.start : second.value.end] == "[ 0x10 , { c:null } ]"
    assert (text[first.comma], text[second.comma]) == (",", ",")  # type: ignore[index]
    assert second.value.entries[1].comma is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "offset", "expected"),
    [
        ("ab", 0, (1, 1)),
        ("a\nb", 2, (2, 1)),
        ("a\r\nb", 3, (2, 1)),
        ("a\rb", 2, (2, 1)),
        ("\ufeffab", 2, (1, 2)),
        ("家🦞b", 2, (1, 3)),
    ],
)
def test_positions(text: str, offset: int, expected: tuple[int, int]) -> None:
    assert position(text, offset) == expected


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (131072, 0x20000, True),
        (131072, 131072.0, True),
        (0, -0.0, True),
        (2**53, 2**53 + 1, True),
        (10**400, math.inf, True),
        (math.nan, math.nan, True),
        (1, True, False),
        (0, False, False),
        (0, None, False),
        ("1", 1, False),
        ([1, {"a": True}], [1.0, {"a": True}], True),
        ([1, {"a": True}], [1, {"a": 1}], False),
        ((1, 2), [1, 2], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({}, [], False),
    ],
)
def test_equality_is_that_of_openclaw(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


@pytest.mark.parametrize("name", ["a", "$", "_x1", "名", "aé", "x\u200d"])
def test_names(name: str) -> None:
    assert is_name(name)
    assert loads(f"{{{name}:1}}") == {name: 1}


@pytest.mark.parametrize("name", ["", "1a", "a b", "a-b", "x:y", "🦞", "\u200d"])
def test_what_needs_quotes(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(Json5Error):
        loads(f"{{{name}:1}}")


@pytest.mark.parametrize("name", CORPUS)
def test_the_corpus_is_read(name: str) -> None:
    value = loads(CORPUS[name])
    assert isinstance(value, dict)
    if name.endswith(".json"):
        assert value == json.loads(CORPUS[name])


def test_the_corpus_holds_what_it_says() -> None:
    assert len(CORPUS) >= 12
    assert CORPUS["bom.json5"].startswith("\ufeff")
    assert CORPUS["crlf.json5"].count("\n") == CORPUS["crlf.json5"].count("\r\n") > 5
    assert "\n" not in CORPUS["minified.json"]
    assert not CORPUS["no-final-newline.json5"].endswith("\n")
    assert "\t" in CORPUS["tabs.json5"]


@given(objects, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_plain_json_is_read_as_json_reads_it(
    value: dict[str, Any], indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert loads(text) == json.loads(text)


@given(documents)
def test_whatever_the_manner_the_value_is_the_same(document: Written) -> None:
    assert same(loads(document.text), document.value)


@given(
    st.sampled_from(sorted(CORPUS.values())),
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from("{}[]:,'\"\\/*\n\r\t\x00\u2028 +-0x.eIN🦞"))
    ),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20)), max_size=3),
)
def test_damaged_text_is_read_or_refused(
    text: str, inserted: list[tuple[float, str]], cut: list[tuple[float, int]]
) -> None:
    for where, length in cut:
        at = int(where * len(text))
        text = text[:at] + text[at + length :]
    for where, character in inserted:
        at = int(where * len(text))
        text = text[:at] + character + text[at:]
    place = (1, 1)
    try:
        loads(text)
    except Json5Error as error:
        place = (error.line, error.column)
    lines = re.split(r"\r\n|[\n\r]", text)
    assert 1 <= place[0] <= len(lines)
    assert 1 <= place[1] <= len(lines[place[0] - 1]) + 1
