"""What a model's registry publishes now, as a Mac is told."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from clawfleet import store
from clawfleet.names import manifest_path
from clawfleet.operations.mac import last_lines, shell
from clawfleet.plan import Trouble, quote
from clawfleet.pulls import Pull, check_published
from clawfleet.run import MacRun
from clawfleet.scripts import load


def check(mac: MacRun, pulls: Iterable[Pull]) -> None:
    """Trouble where a pull would bring another build than models.lock says. Changes nothing; asks
    only for models that are locked."""
    for pull in pulls:
        if pull.locked is not None:
            check_published(pull, published(mac, pull.model), mac.host.name)


def published(mac: MacRun, model: str) -> store.Build:
    """The build that a pull would bring, asked by the Mac itself, once in each stage. Trouble when
    the registry gives none."""
    host, rest = manifest_path(model).split("/", 1)
    name, _, tag = rest.rpartition("/")
    url = f"https://{host}/v2/{name}/manifests/{tag}"
    known = mac.published.get(url)
    if known:
        return known
    service = "yes" if mac.snapshot.ollama_formula else "no"
    script = f"URL={quote(url)}\nSERVICE={service}\n{load('registry.sh')}"
    _, output = shell(mac, script, 90)
    try:
        body, _, code = base64.b64decode(output.stdout).rpartition(b"\n")
    except binascii.Error:
        body, code = b"", b""
    try:
        if code != b"200":
            status = code.decode("ascii", "replace")
            said = f"HTTP {status}" if status not in ("", "000") else last_lines(mac, output, 1)
            raise ValueError(said)
        mac.published[url] = store.read(body)
    except ValueError as error:
        raise Trouble(
            f"{model}: its registry was asked for the build of models.lock: {error}",
            expected=f"a manifest from {url}",
            fix=f"on the Mac: curl -I {quote(url)} (its proxy is Ollama's own, see pull_proxy)",
        ) from error
    return mac.published[url]
