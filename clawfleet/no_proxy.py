"""Values of NO_PROXY: which hosts must stand in them, and how they get there.

What OpenClaw reads it with is undici's EnvHttpProxyAgent (lib/dispatcher/env-http-proxy-agent.js of
undici 7, the same in 2026.2.17 and 2026.9.6): entries are separated by commas or blanks, and
``no_proxy`` hides ``NO_PROXY``, also where it is blank. Go and Homebrew know commas only. Only a
value that is nothing but ``*`` stands for every host. ``[::1]`` would be needed for a request to
that address on 2026.2.x; it is never written, as httpx 0.28 refuses to start with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from clawfleet.plan import Trouble
from clawfleet.settings import Settings

NAMES = ("NO_PROXY", "no_proxy")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STRANGE = re.compile(r"[^\w.:*/\[\]%+~-]")


def hosts(settings: Settings) -> tuple[str, ...]:
    """What has to be reached without a proxy: loopback, then ``no_proxy_hosts``."""
    return _different([*LOOPBACK, *settings.no_proxy_hosts])


def entries(value: str) -> list[str]:
    """
    >>> entries("corp.example, 10.0.0.1 localhost")
    ['corp.example', '10.0.0.1', 'localhost']
    """
    return [entry for entry in re.split(r"[,\s]+", value) if entry]


def effective(variables: Mapping[str, str]) -> str:
    """The value that counts where both names are there: ``no_proxy``, even a blank one."""
    return variables.get("no_proxy", variables.get("NO_PROXY", ""))


def missing(value: str, wanted: Iterable[str]) -> tuple[str, ...]:
    """Hosts that the value does not name."""
    if value.strip() == "*":
        return ()
    named = {entry.lower() for entry in entries(value)}
    return tuple(host for host in wanted if host.lower() not in named)


def merged(
    place: str, own: Mapping[str, str], wanted: Iterable[str], inherited: Iterable[str] = ()
) -> dict[str, str]:
    """Both variables of a place: `own` entries first, in their order, then those of the values
    that it `inherited` so far and will now hide, then what is `wanted`; each entry once.

    Trouble for an entry that is no host, as it becomes a part of scripts. It is not shown.
    """
    found = {}
    for name in NAMES:
        other = own.get(NAMES[1 - NAMES.index(name)], "")
        mine = own.get(name, "").strip() or other.strip()
        if (mine or next((v for v in inherited if v.strip()), "")).strip() == "*":
            found[name] = "*"
            continue
        before = [entry for value in (mine, *inherited) for entry in entries(value) if entry != "*"]
        if any(_STRANGE.search(entry) for entry in before):
            raise Trouble(
                f"{name} in {place} has an entry that is no host",
                expected="hosts and addresses, separated by commas",
                fix='correct it there, or set proxies = "keep" or "unset" for this Mac',
            )
        found[name] = ",".join(_different([*before, *wanted]))
    return found


def _different(values: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for value in values:
        found.setdefault(value.lower(), value)
    return tuple(found.values())
