from __future__ import annotations

import pytest

from clawfleet.hosts import parse
from clawfleet.settings import SettingsError

HOSTS = """
all:
  vars: {ansible_user: alice, verify: full}
  hosts:
    alone:
  children:
    office:
      vars: {verify: quick, homebrew_mirror: ustc}
      hosts:
        mini-[01:03]: {ansible_host: 192.0.2.1}
      children:
        upstairs:
          vars: {verify: 'off'}
          hosts:
            mini-02: {agent: second}
"""


def test_groups_hosts_and_ranges() -> None:
    fleet = parse(HOSTS)
    assert list(fleet.hosts) == ["alone", "mini-01", "mini-02", "mini-03"]
    assert fleet.groups == {
        "all": ["alone", "mini-01", "mini-02", "mini-03"],
        "office": ["mini-01", "mini-02", "mini-03"],
        "upstairs": ["mini-02"],
    }


def test_the_nearest_variable_wins() -> None:
    fleet = parse(HOSTS)
    assert fleet.hosts["alone"] == {"ssh_user": "alice", "verify": "full"}
    assert fleet.hosts["mini-01"]["verify"] == "quick"
    assert fleet.hosts["mini-02"] == {
        "ssh_user": "alice",
        "ssh_hostname": "192.0.2.1",
        "verify": "off",
        "homebrew_mirror": "ustc",
        "agent": "second",
    }


@pytest.mark.parametrize(
    "text",
    [
        "all: {vars: {ansible_user: a}}\noffice: {hosts: {m: }}",
        "office: {hosts: {m: }}\nall: {vars: {ansible_user: a}}",
        "all: {vars: {ansible_user: a}, children: {office: }}\noffice: {hosts: {m: }}",
        "office: {hosts: {m: }}\nall: {children: {office: {vars: {ansible_user: a}}}}",
        "ungrouped: {hosts: {m: }}\nall: {vars: {ansible_user: a}}",
    ],
)
def test_variables_of_all_reach_groups_that_are_described_elsewhere(text: str) -> None:
    assert parse(text).hosts == {"m": {"ssh_user": "a"}}


@pytest.mark.parametrize(
    ("text", "wins"),
    [
        ("office: {vars: {agent: g}, hosts: {m: }}\nall: {vars: {agent: a}, hosts: {m: }}", "g"),
        ("b: {vars: {agent: b}, hosts: {m: }}\na: {vars: {agent: a}, hosts: {m: }}", "b"),
        (
            "p: {vars: {agent: p}, hosts: {m: }, children: {c: {vars: {agent: c}, hosts: {m: }}}}",
            "c",
        ),
        ("c: {vars: {agent: c}, hosts: {m: }}\np: {vars: {agent: p}, children: {c: }}", "c"),
        ("a: {hosts: {m: {agent: h}}}\nb: {vars: {agent: b}, hosts: {m: }}", "h"),
    ],
)
def test_precedence_does_not_hang_on_the_order_in_the_file(text: str, wins: str) -> None:
    assert parse(text).hosts["m"]["agent"] == wins


@pytest.mark.parametrize(
    ("key", "value", "becomes"),
    [
        ("ansible_host", "192.0.2.1", "ssh_hostname"),
        ("ansible_ssh_host", "192.0.2.1", "ssh_hostname"),
        ("ansible_port", 2222, "ssh_port"),
        ("ansible_user", "bob", "ssh_user"),
        ("ansible_ssh_private_key_file", "~/.ssh/id", "ssh_key"),
        ("ansible_private_key_file", "~/.ssh/id", "ssh_key"),
    ],
)
def test_connection_variables(key: str, value: object, becomes: str) -> None:
    fleet = parse(f"all: {{hosts: {{m: {{{key}: {value}}}}}}}")
    assert fleet.hosts["m"] == {becomes: value}


@pytest.mark.parametrize(
    ("written", "word"),
    [("yes", "yes"), ("'yes'", "yes"), ("no", "no"), ("accept-new", "accept-new"), ("ask", "ask")],
)
def test_strict_host_keys_are_one_word(written: str, word: str) -> None:
    """YAML reads a bare yes as true, which pyinfra would refuse at every Mac."""
    fleet = parse(f"all: {{hosts: {{m: {{ssh_strict_host_key_checking: {written}}}}}}}")
    assert fleet.hosts["m"] == {"ssh_strict_host_key_checking": word}


@pytest.mark.parametrize("written", ["strict", "1", "[yes]", "", "'YES'"])
def test_another_word_for_host_keys_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match="Valid are: accept-new, yes, ask, no"):
        parse(f"all: {{vars: {{ssh_strict_host_key_checking: {written}}}}}")


def test_what_only_ansible_reads_is_passed_over() -> None:
    text = "all: {hosts: {m: {ansible_python_interpreter: /usr/bin/python3}}}"
    assert parse(text).hosts == {"m": {}}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("m-[1:3]", ["m-1", "m-2", "m-3"]),
        ("m-[08:10]", ["m-08", "m-09", "m-10"]),
        ("m-[a:c].local", ["m-a.local", "m-b.local", "m-c.local"]),
        ("m-[1:9:4]", ["m-1", "m-5", "m-9"]),
        ("r[1:2]-[1:2]", ["r1-1", "r1-2", "r2-1", "r2-2"]),
        ("[fe80::1]", ["[fe80::1]"]),
    ],
)
def test_ranges(pattern: str, names: list[str]) -> None:
    assert list(parse(f'all: {{hosts: {{"{pattern}": }}}}').hosts) == names


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "all:\n", "all: {hosts: }"])
def test_an_empty_file_has_no_hosts(text: str) -> None:
    assert parse(text).hosts == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all: [m]", ["group all", "expected a mapping", "a list"]),
        ("- m", ["groups at the top", "a list"]),
        ("m", ["groups at the top", "text"]),
        ("all: {hosts: [m]}", ["group all", "hosts must be a mapping", "a list"]),
        ("all: {hosts: m}", ["group all", "hosts must be a mapping", "text"]),
        ("all: {vars: [1]}", ["group all", "vars"]),
        ("all: {children: 3}", ["group all", "children", "a number"]),
        ("all: {host: {m: }}", ["group all", "host is not valid here", "hosts, children, vars"]),
        ("all: {hosts: {m: 192.0.2.1}}", ["host m", "expected a mapping", "text"]),
        ("all: {hosts: {m: {verfy: full}}}", ["host m", "verfy", "Did you mean verify?"]),
        ("all: {vars: {1: 2}}", ["group all", "1 is not a setting"]),
        ("all: {hosts: {m: {3: 2}}}", ["host m", "3 is not a setting"]),
        ("all:\n  hosts: {m: ", ["line ", "column ", "not valid YAML"]),
        ("all: {hosts: {m: \x01}}", ["not valid YAML"]),
        ("a: {children: {b: {children: {a: }}}}", ["holds itself", "a > b > a"]),
        ("a: {children: {b: }}\nb: {children: {a: }}", ["holds itself"]),
        ('all: {hosts: {"m[3:1]": }}', ["group all", "[3:1]", "m[3:1]"]),
        ('all: {hosts: {"m[a:10]": }}', ["[a:10]"]),
        ('all: {hosts: {"m[ab:ad]": }}', ["[ab:ad]"]),
        ('all: {hosts: {"m[1:3:0]": }}', ["[1:3:0]"]),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, where="hosts.yml")
    message = str(caught.value)
    assert message.startswith("hosts.yml")
    for word in words:
        assert word in message, message


ALIASES = "".join(
    f"b{n}: &a{n + 1} {{children: {{{', '.join(f'c{k}: *a{n}' for k in range(9))}}}}}\n"
    for n in range(9)
)
CHAIN = "".join(f"g{n}: {{children: {{g{n + 1}: }}}}\n" for n in range(2000))
FOUND = {
    "no date": ("all:\n hosts: {m: {agent: 2026-02-30}}", ["line 2, column 21", "valid timestamp"]),
    "no bool": ("all: {hosts: {m: {agent: !!bool x}}}", ["line 1, column 26", "no valid bool"]),
    "no int": ("all: {hosts: {m: {agent: !!int ''}}}", ["column 26", "no valid int"]),
    "no timestamp": ("all: {vars: {agent: !!timestamp x}}", ["column 21", "no valid timestamp"]),
    "long number": (f"all: {{vars: {{agent: {'9' * 5000}}}}}", ["column 21", "no valid int"]),
    "half a character": ("all: {hosts: {m: \ud800}}", ["not valid YAML"]),
    "brackets": ("[" * 200_000, ["column 51", "nested deeper than 50 levels"]),
    "dashes": ("- " * 200_000, ["nested deeper than 50 levels"]),
    "long range": ('all: {hosts: {"m[1:999999999]": }}', ["[1:999999999]", "more than 10000"]),
    "longer range": (f'all: {{hosts: {{"m[1:{"9" * 500}]": }}}}', ["is no range of hosts"]),
    "two ranges": ('all: {hosts: {"m[1:999]-[1:999]": }}', ["group all", "more than 10000 hosts"]),
    "a group in itself": ("a: &a {children: {b: *a}}", ["group b", "more than 50 levels"]),
    "aliases of aliases": (f"a: &a0 {{hosts: {{m: }}}}\n{ALIASES}", ["or 10000 descriptions"]),
    "a chain of groups": (CHAIN, ["nested deeper than 50 groups"]),
}
"""Each of them was once an exception of another kind, a dead process or no end at all."""


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found(name: str) -> None:
    text, words = FOUND[name]
    with pytest.raises(SettingsError) as caught:
        parse(text, where="hosts.yml")
    message = str(caught.value)
    assert message.startswith("hosts.yml")
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    "key", ["ansible_password", "ansible_ssh_pass", "ansible_become_pass", "ssh_password"]
)
def test_a_password_in_the_file_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(SettingsError, match=key) as caught:
        parse(f"all: {{hosts: {{m: {{{key}: hunter2}}}}}}")
    assert "hunter2" not in str(caught.value)
    assert "ssh-agent" in str(caught.value)


def test_groups_that_share_children_in_many_layers_take_no_time() -> None:
    """Two to the power of 40 ways lead from the first layer to the host."""
    layers = [
        f"{side}{n}: {{children: {{a{n + 1}: , b{n + 1}: }}}}\n" for n in range(40) for side in "ab"
    ]
    fleet = parse("".join(layers) + "a40: {hosts: {m: }}\n")
    assert fleet.groups["a0"] == fleet.groups["b39"] == ["m"]
