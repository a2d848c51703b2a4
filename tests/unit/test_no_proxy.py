from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawfleet import no_proxy
from clawfleet.plan import Trouble
from tests.unit.factory import settings, trouble_is_useful

HOSTS = no_proxy.LOOPBACK
OURS = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("own", "upper", "lower"),
    [
        ({}, OURS, OURS),
        ({"NO_PROXY": ""}, OURS, OURS),
        ({"NO_PROXY": "corp.example"}, f"corp.example,{OURS}", f"corp.example,{OURS}"),
        # A blank no_proxy hides NO_PROXY for undici: it gets what stands there.
        ({"NO_PROXY": "a", "no_proxy": " "}, f"a,{OURS}", f"a,{OURS}"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, f"a,{OURS}", f"b,{OURS}"),
        # Order stays, nothing twice, blanks become commas (Go knows only those).
        ({"no_proxy": "b a, localhost b"}, "b,a,localhost,127.0.0.1,::1", None),
        ({"no_proxy": "LocalHost"}, "LocalHost,127.0.0.1,::1", None),
        # Only a port, only a range: not what a request to Ollama needs.
        ({"no_proxy": "127.0.0.1:80"}, f"127.0.0.1:80,{OURS}", None),
        ({"no_proxy": "127.0.0.0/8"}, f"127.0.0.0/8,{OURS}", None),
        # Alone it stands for every host, and with company for none.
        ({"NO_PROXY": "*"}, "*", "*"),
        ({"no_proxy": "*, a"}, f"a,{OURS}", None),
        ({"NO_PROXY": "*", "no_proxy": "a"}, "*", f"a,{OURS}"),
    ],
)
def test_merged(own: dict[str, str], upper: str, lower: str | None) -> None:
    found = no_proxy.merged("there", own, HOSTS)
    assert found == {"NO_PROXY": upper, "no_proxy": upper if lower is None else lower}
    assert no_proxy.merged("there", found, HOSTS) == found
    assert no_proxy.missing(no_proxy.effective(found), HOSTS) == ()


def test_what_was_inherited_stays_as_it_is_hidden_now() -> None:
    found = no_proxy.merged("plist", {"NO_PROXY": "own"}, HOSTS, ["", "corp b", "b c"])
    assert found["no_proxy"] == found["NO_PROXY"] == f"own,corp,b,c,{OURS}"
    assert no_proxy.merged("plist", {}, HOSTS, ["*", "b"])["no_proxy"] == "*"
    assert no_proxy.merged("plist", {"no_proxy": "a"}, HOSTS, ["*"])["no_proxy"] == f"a,{OURS}"


@pytest.mark.parametrize("value", ["a'b", "a$(b)", "http://me:5ecret@corp", "a;b", 'a"b', "a`b`"])
def test_an_entry_that_is_no_host_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(Trouble) as caught:
        no_proxy.merged("~/.openclaw/.env", {"no_proxy": f"corp,{value}"}, HOSTS)
    trouble_is_useful(caught.value, "~/.openclaw/.env", "no host")
    assert value not in "".join(caught.value.lines())


def test_what_counts() -> None:
    assert no_proxy.effective({"NO_PROXY": "a", "no_proxy": ""}) == ""
    assert no_proxy.effective({"NO_PROXY": "a"}) == "a"
    assert no_proxy.missing("", ["127.0.0.1"]) == ("127.0.0.1",)
    assert no_proxy.missing("*", ["127.0.0.1"]) == ()
    assert no_proxy.missing("*,a", ["127.0.0.1"]) == ("127.0.0.1",)
    assert no_proxy.missing("X 127.0.0.1", ["127.0.0.1", "x"]) == ()


def test_hosts_are_loopback_and_the_settings() -> None:
    wished = settings(no_proxy_hosts=["mini-2.local", "LOCALHOST", "mini-2.local"])
    assert no_proxy.hosts(wished) == (*HOSTS, "mini-2.local")


ENTRY = st.sampled_from(["a", "B.example", "*", ".local", "10.0.0.1:80", "::1", "localhost"])
VALUE = st.lists(ENTRY, max_size=5).map(",".join)


@given(VALUE, VALUE, st.lists(VALUE, max_size=2))
def test_whatever_stood_there_stays_and_a_second_time_changes_nothing(
    upper: str, lower: str, inherited: list[str]
) -> None:
    own = {"NO_PROXY": upper, "no_proxy": lower}
    found = no_proxy.merged("there", own, HOSTS, inherited)
    assert no_proxy.merged("there", found, HOSTS, inherited) == found
    for name, value in found.items():
        assert no_proxy.missing(value, HOSTS) == ()
        before = [e.lower() for e in no_proxy.entries(own[name]) if e != "*"]
        after = [e.lower() for e in no_proxy.entries(value)]
        if value != "*":
            assert after[: len(set(before))] == list(dict.fromkeys(before))
            assert len(set(after)) == len(after)
