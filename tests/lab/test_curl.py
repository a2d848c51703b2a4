"""``curl`` on a simulated Mac: the real one, but for the way to Ollama's registry."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.folder_mac import FolderMac
from tests.lab.internet.server import InternetServer, build
from tests.lab.ollama_alone import free_port

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac curl is the Mac's own")

MANIFEST = "/v2/library/tiny/manifests/latest"
REGISTRY = f"https://registry.ollama.ai{MANIFEST}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InternetServer]:
    server = build("127.0.0.1", 0, tmp_path_factory.mktemp("internet"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def url(server: InternetServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_the_registry_is_the_labs(server: InternetServer, tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "mac", internet=url(server), name="mac7")
    code, body, error = mac.run("curl", "-sS", "-w", "\n%{http_code}", REGISTRY)
    assert (code, error) == (0, "")
    text, _, status = body.rpartition("\n")
    assert json.loads(text)["schemaVersion"] == 2
    assert status == "200"
    traffic = server.RequestHandlerClass.traffic  # type: ignore[attr-defined]
    assert "mac7" in traffic.stats()["clients"]
    assert mac.run("curl", "-sSf", f"{REGISTRY}x")[0] == 22


def test_everything_else_is_the_real_ones(server: InternetServer, tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "mac", internet="http://127.0.0.1:9")
    assert json.loads(mac.out("curl", "-sS", f"{url(server)}{MANIFEST}"))["schemaVersion"] == 2
    refused = mac.run("curl", "-sS", f"http://127.0.0.1:{free_port()}/")
    assert refused[0] == 7


def test_a_proxy_for_https_is_asked(server: InternetServer, tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "mac", internet="http://192.0.2.1:9")
    for name in ("https_proxy", "HTTPS_PROXY"):
        code, body, _ = mac.run("curl", "-sS", REGISTRY, env={name: url(server)})
        assert code == 0
        assert json.loads(body)["schemaVersion"] == 2
    dead = {"https_proxy": f"http://127.0.0.1:{free_port()}"}
    assert mac.run("curl", "-sS", REGISTRY, env=dead)[0] == 7
