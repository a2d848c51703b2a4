from __future__ import annotations

import plistlib

import pytest

from clawfleet import dotenv, variables
from clawfleet.snapshot import PROXY_VARIABLES
from tests.unit.factory import HOME, plist

PROXY = "http://me:5ecret@127.0.0.1:7890"
VALUES = {"NO_PROXY": "127.0.0.1,localhost,::1", "no_proxy": "a,b"}


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("", "", ()),
        ("A=1\n", "A=1\n", ()),
        (f"A=1\nhttp_proxy={PROXY}\nB=2", "A=1\nB=2", ("http_proxy",)),
        (f"export HTTPS_PROXY='{PROXY}'\n", "", ("HTTPS_PROXY",)),
        (f"  export\tno_proxy = {PROXY}\r\nA=1\r\n", "A=1\r\n", ("no_proxy",)),
        ("# http_proxy=x\n", "# http_proxy=x\n", ()),
        ("my_http_proxy=x\nhttp_proxy_x=y\n", "my_http_proxy=x\nhttp_proxy_x=y\n", ()),
        ("NOTE=http_proxy=x\n", "NOTE=http_proxy=x\n", ()),
        ("http_proxy=\n", "", ("http_proxy",)),
        ("unset http_proxy\n", "unset http_proxy\n", ()),
        ("http_proxy=a\nHTTP_PROXY=b", "", ("http_proxy", "HTTP_PROXY")),
    ],
)
def test_lines(before: str, after: str, names: tuple[str, ...]) -> None:
    assert variables.without_lines(before) == (after, names)
    assert variables.without_lines(after) == (after, ())


@pytest.mark.parametrize("name", PROXY_VARIABLES)
def test_keys_of_a_plist(name: str) -> None:
    clean = plist({"TMPDIR": "/tmp"}).decode()
    dirty = plist({"TMPDIR": "/tmp", name: PROXY}).decode()
    assert variables.without_keys(dirty) == (clean, (name,))
    assert variables.without_keys(clean) == (clean, ())


@pytest.mark.parametrize(
    "value", ["<string/>", "<string />", "<string></string>", "<string>\n\ta\n</string>"]
)
def test_odd_values_in_a_plist(value: str) -> None:
    text = (
        f"<dict>\r\n\t<key>http_proxy</key>\r\n\t{value}\r\n\t<key>A</key><string>b</string></dict>"
    )
    assert variables.without_keys(text) == (
        "<dict>\r\n\t<key>A</key><string>b</string></dict>",
        ("http_proxy",),
    )


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_variables_in_lines(end: str) -> None:
    text = f"A=1{end}export NO_PROXY=x # mine{end}http_proxy={PROXY}{end}"
    after = variables.with_lines(text, VALUES)
    assert after == (
        f"A=1{end}export NO_PROXY='127.0.0.1,localhost,::1' # mine{end}http_proxy={PROXY}{end}"
        f"no_proxy='a,b'{end}"
    )
    assert variables.with_lines(after, VALUES) == after
    assert dotenv.ours(after) == set()
    exported = variables.with_lines("", VALUES, export=True)
    assert exported == "export NO_PROXY='127.0.0.1,localhost,::1'\nexport no_proxy='a,b'\n"


def test_variables_in_a_plist() -> None:
    text = plist({"NO_PROXY": "old", "HTTP_PROXY": PROXY}).decode()
    after = variables.with_keys(text, VALUES)
    assert after is not None
    expected = {"HOME": HOME, "HTTP_PROXY": PROXY, **VALUES}
    assert plistlib.loads(after.encode())["EnvironmentVariables"] == expected
    assert variables.in_plist(after) == expected
    assert variables.with_keys(after, VALUES) == after
    # Every other line is as it was, order included.
    removed = [line for line in after.splitlines() if line not in text.splitlines()]
    assert [line.strip() for line in removed] == [
        "<string>127.0.0.1,localhost,::1</string>",
        "<key>no_proxy</key>",
        "<string>a,b</string>",
    ]
    assert variables.without_keys(after)[0] == plist().decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no plist",
        plistlib.dumps({"Label": "a"}).decode(),
        plistlib.dumps({"EnvironmentVariables": {}}).decode(),
        "<plist><dict><key>EnvironmentVariables</key><dict></dict>",
        # The name stands in a comment, where an edit would do nothing.
        "<plist><!-- <key>EnvironmentVariables</key><dict></dict> --><dict/></plist>",
    ],
)
def test_a_plist_in_which_they_have_no_place(text: str) -> None:
    assert variables.with_keys(text, VALUES) is None


def test_what_is_no_plist_has_no_variables() -> None:
    assert variables.in_plist("bplist00") == {}
    assert variables.in_plist(plistlib.dumps([1]).decode()) == {}
