from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from clawfleet import wish
from clawfleet.capabilities import Version, capabilities, wanted_shape
from tests.unit.factory import NEW, OLD, TEMPLATES, TOKEN, equipped, settings

VERSIONS = ["2026.2.12", OLD, NEW]


@pytest.mark.parametrize("version", [*VERSIONS, "2026.2.1", "2026.5.1", "2027.1.1"])
@pytest.mark.parametrize("token", ["", TOKEN])
def test_templates_need_no_name_that_is_not_given(version: str, token: str) -> None:
    shape = wanted_shape(capabilities(Version.parse(version)))
    data = {
        "shape": shape,
        "base_url": "http://127.0.0.1:11434",
        "provider_timeout": None,
        "models": [],
        "primary": "a/b",
        "fallbacks": [],
        "aliases": {},
        "gateway_port": 1,
        "token": token,
    }
    for template in TEMPLATES.values():
        assert wish.render(template, data)
        with pytest.raises(UndefinedError):
            wish.render(template, {})


def test_an_edited_template_cannot_break_an_older_version() -> None:
    edited = TEMPLATES[wish.CONFIG].replace("{%- if provider_timeout %}", "{%- if true %}")
    edited = edited.replace("{{ provider_timeout }}", "300")
    changes = wish.plan(
        equipped(OLD), settings(), {**TEMPLATES, wish.CONFIG: edited}, lambda: TOKEN
    ).files
    assert b"timeoutSeconds" not in changes[0].after
