"""The client side of Ollama's registry protocol: requests, proxies and Go's error texts."""

from __future__ import annotations

import http.client
import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from tests.lab.standins.ollama_names import DEFAULT_HOST, Name
from tests.lab.standins.ollama_store import MANIFEST_TYPE

TIMEOUT = 600.0
"""Seconds without a byte after which a request ends; Ollama's own watchdog is the download's."""


class PullError(Exception):
    """Text that stands in the last line of a failed pull."""


def proxy_for(host: str, scheme: str, environment: Mapping[str, str]) -> str | None:
    """The proxy that Go takes for ``scheme://host``: never for loopback, not for NO_PROXY."""
    name = host.rpartition(":")[0] or host if not host.endswith("]") else host
    try:
        loopback = ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        loopback = name == "localhost"
    if loopback:
        return None
    for entry in (environment.get("NO_PROXY") or environment.get("no_proxy") or "").split(","):
        suffix = entry.strip().lstrip("*").lstrip(".").partition(":")[0]
        if suffix and (name == suffix or name.endswith("." + suffix)):
            return None
        if entry.strip() == "*":
            return None
    key = f"{scheme}_proxy"
    return environment.get(key.upper()) or environment.get(key) or None


class Registry:
    """Where one name is pulled from.

    Names without a host come from the lab's own internet, which stands for registry.ollama.ai:
    errors and proxies are those that the real address would have.
    """

    def __init__(self, name: Name, *, internet: str, insecure: bool, mac: str) -> None:
        if name.scheme == "http" and not insecure:
            raise PullError("insecure protocol http")
        self.name = name
        self.mac = mac
        public = name.host == DEFAULT_HOST
        self.shown = f"{'https' if public or not insecure else 'http'}://{name.host}"
        self.base = internet if public else f"http://{name.host}"
        """Empty in a lab without its internet."""
        self.https_only = not public and not insecure
        self.proxy = proxy_for(name.host, self.shown.partition("://")[0], os.environ)

    def path(self, kind: str, reference: str) -> str:
        """``/v2/library/gpt-oss/manifests/20b``."""
        return f"/v2/{self.name.namespace}/{self.name.model}/{kind}/{reference}"

    def open(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send one request, redirects not followed; PullError where no answer comes."""
        url = urljoin(self.base, path)
        shown = self.shown + url[len(self.base) :] if url.startswith(self.base) else url
        verb = f'{method.capitalize()} "{shown}"'
        if not self.base and not self.proxy:
            raise PullError(f"{verb}: dial tcp: lookup {self.name.host}: no such host")
        if self.https_only:
            raise PullError(f"{verb}: http: server gave HTTP response to HTTPS client")
        target = urlsplit(self.proxy or url)
        address = f"{target.hostname}:{target.port or 80}"
        connection = http.client.HTTPConnection(
            target.hostname or "", target.port or 80, timeout=TIMEOUT
        )
        parts = urlsplit(url)
        request = url if self.proxy else parts.path
        sent = {"User-Agent": "ollama/standin", "X-Lab-Mac": self.mac, **(headers or {})}
        if self.proxy:
            sent["Host"] = parts.netloc
        try:
            connection.request(method, request, headers=sent)
            return connection.getresponse()
        except ConnectionRefusedError as error:
            through = "proxyconnect tcp: " if self.proxy else ""
            text = f"{verb}: {through}dial tcp {address}: connect: connection refused"
            raise PullError(text) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise PullError(f"{verb}: EOF") from error

    def manifest(self) -> bytes:
        """The manifest as the registry has it; PullError with Ollama's text."""
        path = self.path("manifests", self.name.tag)
        with self.open("GET", path, {"Accept": MANIFEST_TYPE}) as answer:
            body = answer.read()
            if answer.status == 404:
                raise PullError("file does not exist")
            if answer.status >= 400:
                raise PullError(f"{answer.status}: {body.decode(errors='replace')}")
            return body

    def blob_size(self, digest: str) -> int:
        """Bytes of a blob by its Content-Length."""
        with self.open("HEAD", self.path("blobs", digest)) as answer:
            if answer.status >= 400:
                raise PullError(f"{answer.status}: {answer.reason}")
            return int(answer.getheader("Content-Length") or 0)

    def blob_location(self, digest: str) -> str:
        """Where the bytes are: what a GET without a range points to.

        A redirect to the same host name is followed, one to another name is the answer; so is a
        200 with a Location. A plain 200 is the error that stops an ordinary registry.
        """
        url = urljoin(self.base, self.path("blobs", digest))
        for _ in range(10):
            with self.open("GET", url) as answer:
                location = answer.getheader("Location")
                if answer.status >= 400:
                    raise PullError(f"{answer.status}: {answer.reason}")
                if location is None:
                    raise PullError("http: no Location header in response")
                there = urljoin(url, location)
                same = urlsplit(there).hostname == urlsplit(url).hostname
                if answer.status == 307 and same:
                    url = there
                    continue
                return there
        raise PullError("maximum redirects exceeded (10) for directURL")
