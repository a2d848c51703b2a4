"""Downloads of the stand-in brew, from the lab's own small internet and nowhere else.

Mirrors and proxies are obeyed as brew obeys them. A mirror outside the lab is not asked, that is
taken as a missing file; which addresses were wanted is in ``<state>/brew-fetches.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from tests.lab.spec import MacSpec

PATIENCE = 60.0
RELEASES = "https://github.com/ollama/ollama/releases/download"


class FetchError(Exception):
    """Nothing could be fetched; the text is brew's, with ``@NAME@`` where the name belongs."""


def catalogue(mac: MacSpec, env: dict[str, str]) -> bytes:
    """``catalogue.json`` of the API; FetchError where it cannot be had."""
    default = f"{mac.internet}/homebrew/api"
    domains = [env.get("HOMEBREW_API_DOMAIN", default), default]
    return _first(mac, env, [f"{domain.rstrip('/')}/catalogue.json" for domain in domains])


def artefact(mac: MacSpec, env: dict[str, str], path: str) -> bytes:
    """``bottles/X`` or ``casks/X``; the mirrors first, FetchError where nobody has it."""
    default = f"{mac.internet}/homebrew/{path}"
    addresses = [default]
    folder, name = path.split("/")
    mirror = env.get("HOMEBREW_BOTTLE_DOMAIN")
    if folder == "bottles" and mirror:
        addresses.insert(0, f"{mirror.rstrip('/')}/{name}")
    proxy = env.get("HOMEBREW_ARTIFACT_DOMAIN")
    if proxy:
        first = f"{proxy.rstrip('/')}/{RELEASES if folder == 'casks' else default}/{name}"
        fallback = not env.get("HOMEBREW_ARTIFACT_DOMAIN_NO_FALLBACK")
        addresses = [first, *(addresses if fallback else [])]
    return _first(mac, env, addresses)


def checksums(*contents: bytes) -> Iterator[str]:
    """SHA-256 of each."""
    return (hashlib.sha256(content).hexdigest() for content in contents)


def _first(mac: MacSpec, env: dict[str, str], addresses: list[str]) -> bytes:
    error = FetchError("no address")
    for address in dict.fromkeys(addresses):
        try:
            data = _get(mac, env, address)
        except FetchError as failure:
            _note(mac, address, f"{failure}".splitlines()[0])
            error = failure
        else:
            _note(mac, address, "200")
            return data
    raise error


def _get(mac: MacSpec, env: dict[str, str], address: str) -> bytes:
    if not address.startswith(f"{mac.internet}/"):
        raise FetchError(_failed("curl: (6) Could not resolve host", address))
    request = urllib.request.Request(address, headers={"X-Lab-Mac": mac.name})
    proxy = _proxy(env, address)
    if proxy:
        request.set_proxy(urllib.parse.urlsplit(proxy).netloc, "http")
    # No handler for proxies: urllib's own would also look at the environment that brew drops.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as response:
            data: bytes = response.read()
    except urllib.error.HTTPError as error:
        reason = f"curl: (22) The requested URL returned error: {error.code}"
        raise FetchError(_failed(reason, address)) from error
    except OSError as error:
        target = urllib.parse.urlsplit(proxy or address)
        reason = (
            f"curl: (7) Failed to connect to {target.hostname} port {target.port} after 0 ms:"
            " Couldn't connect to server"
        )
        raise FetchError(_failed(reason, address)) from error
    return data


def _proxy(env: dict[str, str], address: str) -> str | None:
    """The proxy that curl would take for Homebrew's addresses, which all are https."""
    host = urllib.parse.urlsplit(address).hostname or ""
    exempt = [name.strip().lstrip(".") for name in env.get("no_proxy", "").split(",")]
    if "*" in exempt or any(name and host.endswith(name) for name in exempt):
        return None
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        if env.get(name):
            return env[name]
    return None


def _failed(reason: str, address: str) -> str:
    return f'Failed to download resource "@NAME@"\nDownload failed: {address}\n{reason}'


def _note(mac: MacSpec, address: str, result: str) -> None:
    with open(f"{mac.state}/brew-fetches.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"url": address, "result": result}) + "\n")
