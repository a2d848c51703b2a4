"""The lab's small internet: what it serves, counts and breaks."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.internet.server import build
from tests.lab.ollama_alone import REPO
from tests.lab.standins import ollama_models
from tests.lab.standins.ollama_store import MANIFEST_TYPE, Store, seed

MANIFEST = "/v2/library/tiny/manifests/latest"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("internet")
    (folder / "static").mkdir()
    (folder / "static" / "page.txt").write_bytes(b"0123456789")
    (folder / "secret.txt").write_text("not served")
    server = build("127.0.0.1", 0, folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def net(shared: httpx.Client) -> httpx.Client:
    control(shared, faults=[], kbps=0, reset=True)
    return shared


def control(client: httpx.Client, **wish: object) -> Any:
    return client.post("/__ctl", json=wish).raise_for_status().json()


def blob(client: httpx.Client, kind: str) -> str:
    """Path of a layer of the tiny model."""
    layers = client.get(MANIFEST).json()["layers"]
    (layer,) = [x for x in layers if x["mediaType"].endswith(kind)]
    return f"/v2/library/tiny/blobs/{layer['digest']}"


def test_manifest_names_blobs_that_are_there(net: httpx.Client) -> None:
    answer = net.get(MANIFEST, headers={"Accept": MANIFEST_TYPE})
    assert answer.headers["Content-Type"] == MANIFEST_TYPE
    manifest = answer.json()
    for layer in [*manifest["layers"], manifest["config"]]:
        path = f"/v2/library/tiny/blobs/{layer['digest']}"
        assert int(net.head(path).headers["Content-Length"]) == layer["size"]
        body = net.get(path, headers={"Range": f"bytes=0-{layer['size'] - 1}"})
        assert body.status_code == 206
        assert f"sha256:{hashlib.sha256(body.content).hexdigest()}" == layer["digest"]


def test_a_blob_without_a_range_points_to_its_bytes(net: httpx.Client) -> None:
    path = blob(net, "license")
    answer = net.get(path)
    assert (answer.status_code, answer.headers["Location"], answer.content) == (200, path, b"")


def test_ranges_are_the_bytes_asked_for(net: httpx.Client) -> None:
    answer = net.get("/page.txt", headers={"Range": "bytes=3-5"})
    assert (answer.content, answer.headers["Content-Range"]) == (b"345", "bytes 3-5/10")
    assert net.get("/page.txt", headers={"Range": "bytes=8-"}).content == b"89"
    assert net.get("/page.txt", headers={"Range": "bytes=10-12"}).status_code == 416


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/v2/a/b/manifests/c"])
def test_what_is_not_offered_is_404(net: httpx.Client, path: str) -> None:
    assert net.get(path).status_code == 404


def test_traffic_is_counted_by_prefix_client_and_path(net: httpx.Client) -> None:
    net.get("/page.txt", headers={"X-Lab-Mac": "mac1"})
    net.get("/page.txt", headers={"X-Lab-Mac": "mac2", "Range": "bytes=0-3"})
    net.head(MANIFEST)
    stats = net.get("/__stats").json()
    assert stats["prefixes"] == {
        "/page.txt": {"requests": 2, "bytes": 14},
        "/v2": {"requests": 1, "bytes": 0},
    }
    assert stats["clients"]["mac1"] == {"requests": 1, "bytes": 10}
    assert stats["clients"]["mac2"] == {"requests": 1, "bytes": 4}
    assert stats["clients"]["127.0.0.1"] == {"requests": 1, "bytes": 0}
    assert stats["paths"]["/page.txt"] == {"requests": 2, "bytes": 14}
    control(net, reset=True)
    assert net.get("/__stats").json()["prefixes"] == {}


def test_a_proxied_request_is_answered(net: httpx.Client) -> None:
    proxy = httpx.Proxy(str(net.base_url))
    with httpx.Client(proxy=proxy, trust_env=False) as client:
        assert client.get("http://registry.example/page.txt").content == b"0123456789"


def test_status_fault_as_often_as_asked(net: httpx.Client) -> None:
    control(net, faults=[{"prefix": "/page", "status": 503, "times": 2}])
    assert [net.get("/page.txt").status_code for _ in range(3)] == [503, 503, 200]
    assert net.get(MANIFEST).status_code == 200


def test_faults_for_one_client(net: httpx.Client) -> None:
    control(net, faults=[{"prefix": "/", "status": 500, "client": "mac1"}])
    assert net.get("/page.txt", headers={"X-Lab-Mac": "mac1"}).status_code == 500
    assert net.get("/page.txt", headers={"X-Lab-Mac": "mac2"}).status_code == 200


def test_cut_and_corrupt(net: httpx.Client) -> None:
    control(net, faults=[{"prefix": "/page", "cut": 4, "times": 1}])
    with pytest.raises(httpx.RemoteProtocolError):
        net.get("/page.txt")
    assert net.get("/__stats").json()["paths"]["/page.txt"]["bytes"] == 4
    control(net, faults=[{"prefix": "/page", "corrupt": True}])
    assert net.get("/page.txt").content == b"1123456789"


def test_delay_lets_a_client_time_out(net: httpx.Client) -> None:
    control(net, faults=[{"prefix": "/page", "delay": 3}])
    with pytest.raises(httpx.ReadTimeout):
        net.get("/page.txt", timeout=0.1)
    assert net.get("/__stats").json()["paths"]["/page.txt"] == {"requests": 1, "bytes": 0}


def test_redirect(net: httpx.Client) -> None:
    control(net, faults=[{"prefix": "/page", "redirect": "http://other.example"}])
    answer = net.get("/page.txt")
    assert (answer.status_code, answer.headers["Location"]) == (
        307,
        "http://other.example/page.txt",
    )


def test_an_unknown_fault_is_refused(net: httpx.Client) -> None:
    answer = net.post("/__ctl", json={"faults": [{"prefix": "/", "explode": True}]})
    assert answer.status_code == 400
    assert "explode" in answer.json()["error"]


def test_bandwidth_is_shared() -> None:
    from tests.lab.internet import traffic

    shared = traffic.Traffic()
    assert shared.control({"kbps": 100_000}) == {"faults": [], "kbps": 100_000.0}
    shared.sent("/a", "mac1", 1_000_000)
    reserved = shared._free_at
    shared.sent("/a", "mac2", 1_000_000)
    assert shared._free_at >= reserved + 0.01


def test_homebrew_files_come_from_their_catalogue(
    net: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Catalogue:
        def installer(self) -> str:
            return "#!/bin/bash\n"

        def catalogue(self) -> dict[str, dict[str, str]]:
            return {"formulae": {"ollama": "0.32.3"}, "casks": {}}

        def bottle(self, name: str, version: str) -> bytes:
            return {("node@22", "22.23.3"): b"bottle"}[(name, version)]

        def cask(self, token: str, version: str) -> bytes:
            return f"{token} {version}".encode()

    monkeypatch.setitem(sys.modules, "tests.lab.standins.brew_catalogue", Catalogue())
    base = "/mirrors/some/homebrew"
    assert net.get(base + "/install.sh").text == "#!/bin/bash\n"
    assert net.get(base + "/api/catalogue.json").json()["formulae"] == {"ollama": "0.32.3"}
    assert net.get(base + "/bottles/node@22--22.23.3.tar.gz").content == b"bottle"
    assert net.get(base + "/bottles/node@22--1.tar.gz").status_code == 404
    assert net.get(base + "/casks/ollama-app--0.32.3.zip").content == b"ollama-app 0.32.3"


def test_models_are_the_same_each_time(tmp_path: Path) -> None:
    made = [seed(tmp_path / str(i), "gpt-oss:20b", factor=0.1).digest for i in range(2)]
    assert made[0] == made[1]
    other = seed(tmp_path / "2", "gpt-oss:20b", factor=0.1, revision=2)
    assert other.digest != made[0]
    assert set(Store(tmp_path / "2").used()) & set(Store(tmp_path / "0").used())


def test_a_model_that_the_lab_has_not_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        seed(tmp_path, "llama3:8b")


def test_the_command_prints_its_address_and_ends_on_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.lab.internet", "--dir", str(tmp_path)]
    environment = {**os.environ, ollama_models.SCALE_ENV: "0.01"}
    with subprocess.Popen(
        command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        layers = httpx.get(url + MANIFEST, trust_env=False).json()["layers"]
        process.send_signal(signal.SIGTERM)
    assert layers[0]["size"] == 4370
    assert process.returncode == 0
