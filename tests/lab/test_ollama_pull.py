"""Pulls from the lab's registry: events, errors inside a 200, resume, prune, proxies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lab.internet.server import InternetServer, build
from tests.lab.internet.traffic import Traffic
from tests.lab.ollama_alone import Alone, free_port
from tests.lab.standins.ollama_registry import proxy_for
from tests.lab.standins.ollama_store import Store, seed

Json = dict[str, Any]
GPT = "gpt-oss:20b"
Make = Callable[..., Alone]


class Internet:
    """The lab's internet in this process."""

    def __init__(self, server: InternetServer, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.folder = folder
        self.store = Store(folder / "models")
        self.traffic: Traffic = server.RequestHandlerClass.traffic  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    folder = tmp_path_factory.mktemp("internet")
    server = build("127.0.0.1", 0, folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    internet = Internet(server, folder)
    httpx.get(internet.url + "/v2/library/tiny/manifests/latest", trust_env=False)
    yield internet
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def net(shared: Internet) -> Internet:
    """The internet without faults, its counters at zero."""
    shared.traffic.control({"faults": [], "kbps": 0, "reset": True})
    return shared


@pytest.fixture(scope="module")
def running(shared: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    alone = Alone(tmp_path_factory.mktemp("mac") / "mac", internet=shared.url).serve()
    yield alone
    alone.stop()


@pytest.fixture
def mac(running: Alone) -> Alone:
    """A running server with an empty store and no faults."""
    running.faults()
    running.settings()
    shutil.rmtree(running.store.root, ignore_errors=True)
    return running


@pytest.fixture
def make(net: Internet, tmp_path: Path) -> Iterator[Make]:
    """Makes Macs whose servers end with the test."""
    made: list[Alone] = []

    def one(**options: Any) -> Alone:
        mac = Alone(tmp_path / f"mac{len(made)}", **{"internet": net.url, **options})
        made.append(mac)
        return mac

    yield one
    for mac in made:
        mac.stop()


def weights(net: Internet) -> Json:
    """The big layer of gpt-oss in the registry."""
    raw = (net.store.manifests / "registry.ollama.ai/library/gpt-oss/20b").read_bytes()
    layer: Json = json.loads(raw)["layers"][0]
    return layer


def blob_path(layer: Json) -> str:
    return f"/v2/library/gpt-oss/blobs/{layer['digest']}"


def parts(mac: Alone) -> list[Json]:
    """States of the parts of an unfinished download."""
    return [json.loads(path.read_text()) for path in mac.store.blobs.glob("*-partial-*")]


def test_events_of_a_pull(mac: Alone, net: Internet) -> None:
    events = mac.pull(GPT)
    layer = weights(net)
    statuses = list(dict.fromkeys(event["status"] for event in events))
    assert statuses[:2] == ["pulling manifest", f"pulling {layer['digest'][7:19]}"]
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    progress = [event for event in events if event.get("digest") == layer["digest"]]
    assert progress[-1]["completed"] == progress[-1]["total"] == layer["size"]
    assert all(event.get("completed", 1) > 0 for event in progress)
    (model,) = mac.get("/api/tags")["models"]
    assert model["name"] == GPT
    registry = (net.store.manifests / "registry.ollama.ai/library/gpt-oss/20b").read_bytes()
    assert model["digest"] == hashlib.sha256(registry).hexdigest()


def test_what_is_there_is_not_fetched_again(mac: Alone, net: Internet) -> None:
    seed(mac.store.root, GPT)
    mac.store.manifest(next(iter(mac.store.names()))).unlink()
    events = mac.pull(GPT)
    layer = weights(net)
    (line,) = [event for event in events if event.get("digest") == layer["digest"]]
    assert line["completed"] == line["total"] == layer["size"]
    assert set(net.traffic.stats()["paths"]) == {"/v2/library/gpt-oss/manifests/20b"}


def test_the_second_model_shares_its_license(mac: Alone, net: Internet) -> None:
    mac.pull(GPT)
    net.traffic.control({"reset": True})
    mac.pull("qwen3-coder")
    first, second = (mac.store.model(name) for name in sorted(mac.store.names(), key=str))
    license_layer = first.layer("license")
    assert license_layer == second.layer("license")
    assert license_layer is not None
    assert not [p for p in net.traffic.stats()["paths"] if p.endswith(license_layer["digest"])]


@pytest.mark.parametrize("name", ["no-such-model", "gpt-oss:nope"])
def test_an_unknown_name_is_an_error_inside_a_200(mac: Alone, name: str) -> None:
    answer = mac.post("/api/pull", {"model": name})
    assert answer.status_code == 200
    *first, last = [json.loads(line) for line in answer.text.splitlines()]
    assert first == [{"status": "pulling manifest"}]
    assert last == {"error": "pull model manifest: file does not exist"}


def test_without_a_stream_the_error_is_a_500(mac: Alone) -> None:
    answer = mac.post("/api/pull", {"model": "no-such-model", "stream": False})
    assert answer.status_code == 500
    assert answer.json() == {"error": "pull model manifest: file does not exist"}
    assert mac.post("/api/pull", {"model": "tiny", "stream": False}).json()["status"] == "success"


def test_an_error_before_the_first_line_is_a_500(mac: Alone) -> None:
    mac.faults(**{f"ollama.pull:{GPT}": "http500"})
    assert mac.post("/api/pull", {"model": GPT}).status_code == 500


def test_a_pull_that_broke_off_is_resumed(mac: Alone, net: Internet) -> None:
    mac.faults(ollama__pull="half")
    assert mac.pull(GPT)[-1] == {"error": "max retries exceeded: unexpected EOF"}
    layer = weights(net)
    done = sum(part["Completed"] for part in parts(mac))
    assert layer["size"] / 2 <= done < layer["size"]
    assert mac.get("/api/tags")["models"] == []
    mac.faults()
    net.traffic.control({"reset": True})
    assert mac.pull(GPT)[-1] == {"status": "success"}
    fetched = net.traffic.stats()["paths"][blob_path(layer)]["bytes"]
    assert fetched == layer["size"] - done
    assert parts(mac) == []


def test_a_full_disk_ends_a_pull_at_once(mac: Alone, net: Internet) -> None:
    mac.faults(ollama__pull="full")
    name = weights(net)["digest"].replace(":", "-")
    error = f"write {mac.store.blobs / name}-partial: no space left on device"
    assert mac.pull(GPT)[-1] == {"error": error}


@pytest.mark.parametrize(("version", "kept"), [("0.16.1", False), ("0.32.3", True)])
def test_a_restart_deletes_partial_downloads(make: Make, version: str, kept: bool) -> None:
    mac = make(version=version).serve()
    mac.faults(ollama__pull="half")
    mac.pull(GPT)
    mac.serve()
    assert bool(parts(mac)) is kept


def test_a_young_unused_blob_survives_only_since_0_21(make: Make) -> None:
    for version, left in (("0.16.1", 0), ("0.32.3", 1)):
        mac = make(version=version)
        for revision in (1, 2):
            seed(mac.store.root, GPT, factor=0.01, revision=revision)
        (stray,) = set(mac.store.blobs.iterdir()) - {mac.store.blob(x) for x in mac.store.used()}
        mac.serve()
        assert stray.exists() is bool(left)
        if left:
            os.utime(stray, (0, 0))
            mac.serve(OLLAMA_NOPRUNE="1")
            assert stray.exists()
            mac.serve()
            assert not stray.exists()


def test_a_replaced_model_loses_its_old_layers(mac: Alone) -> None:
    old = seed(mac.store.root, GPT, revision=2).layer("model")
    assert old is not None
    statuses = [event["status"] for event in mac.pull(GPT)]
    assert statuses[-2:] == ["removing unused layers", "success"]
    assert not mac.store.blob(old["digest"]).exists()


def test_a_corrupt_blob_is_deleted(mac: Alone, net: Internet) -> None:
    layer = weights(net)
    net.traffic.control({"faults": [{"prefix": blob_path(layer), "corrupt": True}]})
    error = mac.pull(GPT)[-1]["error"]
    wanted = f"digest mismatch, file must be downloaded again: want {layer['digest']}, got sha256:"
    assert error.startswith(wanted)
    assert not mac.store.blob(layer["digest"]).exists()
    net.traffic.control({"faults": []})
    assert mac.pull(GPT)[-1] == {"status": "success"}


def test_the_digest_fault_says_the_same(mac: Alone) -> None:
    mac.faults(ollama__pull="digest")
    assert mac.pull(GPT)[-1]["error"].startswith("digest mismatch, file must be downloaded again")


def test_cut_connections_are_tried_again(mac: Alone, net: Internet) -> None:
    prefix = blob_path(weights(net))
    net.traffic.control({"faults": [{"prefix": prefix, "cut": 20_000, "times": 4}]})
    assert mac.pull(GPT)[-1] == {"status": "success"}


def test_an_old_server_is_told_so_by_the_registry(mac: Alone, net: Internet) -> None:
    net.traffic.control({"faults": [{"prefix": "/v2/library/gpt-oss/manifests", "status": 412}]})
    assert mac.pull(GPT)[-1]["error"].startswith("pull model manifest: 412: ")


def stalled_events(mac: Alone, count: int) -> list[Json]:
    """The first events of a pull whose bytes never come; the connection is closed then."""
    url = mac.url + "/api/pull"
    with httpx.stream("POST", url, json={"model": GPT}, trust_env=False) as answer:
        lines = answer.iter_lines()
        return [json.loads(next(lines)) for _ in range(count)]


def test_a_stalled_pull_goes_on_saying_nothing(make: Make) -> None:
    mac = make(version="0.16.1").serve()
    mac.faults(ollama__pull="stall")
    events = stalled_events(mac, 8)
    assert all("completed" not in event for event in events[1:])
    assert all(event["status"].startswith("pulling ") for event in events)
    mac.faults()
    assert mac.pull(GPT)[-1] == {"status": "success"}


def test_later_releases_try_a_silent_part_again(mac: Alone) -> None:
    mac.settings(stall_s=0.1)
    mac.faults(ollama__pull="stall")
    url = mac.url + "/api/pull"
    with httpx.stream("POST", url, json={"model": GPT}, trust_env=False) as answer:
        lines = answer.iter_lines()
        assert "completed" not in json.loads([next(lines) for _ in range(6)][-1])
        mac.faults()
        assert json.loads(list(lines)[-1]) == {"status": "success"}


def test_before_0_19_the_manifest_is_written_anew(make: Make, net: Internet) -> None:
    path = net.folder / "static/v2/library/tiny/manifests/latest"
    source = net.store.manifests / "registry.ollama.ai/library/tiny/latest"
    path.parent.mkdir(parents=True)
    raw = json.dumps(json.loads(source.read_bytes()), indent=2).encode()
    path.write_bytes(raw)
    same = {}
    for version in ("0.16.1", "0.32.3"):
        mac = make(version=version).serve()
        mac.pull("tiny")
        (model,) = mac.get("/api/tags")["models"]
        same[version] = model["digest"] == hashlib.sha256(raw).hexdigest()
    path.unlink()
    assert same == {"0.16.1": False, "0.32.3": True}


def test_a_dead_proxy_stops_a_pull_but_not_the_client(make: Make, net: Internet) -> None:
    dead = f"127.0.0.1:{free_port()}"
    mac = make().serve(HTTPS_PROXY=f"http://{dead}")
    failed = mac.cli("pull", GPT, HTTPS_PROXY=f"http://{dead}", http_proxy=f"http://{dead}")
    assert failed.returncode == 1
    assert failed.stderr.endswith(
        'Error: pull model manifest: Get "https://registry.ollama.ai/v2/library/gpt-oss/'
        f'manifests/20b": proxyconnect tcp: dial tcp {dead}: connect: connection refused\n'
    )
    assert net.traffic.stats()["prefixes"] == {}


def test_a_lab_without_an_internet(make: Make) -> None:
    assert make(internet="").serve().pull("tiny")[-1]["error"] == (
        'pull model manifest: Get "https://registry.ollama.ai/v2/library/tiny/manifests/latest": '
        "dial tcp: lookup registry.ollama.ai: no such host"
    )


def test_a_living_proxy_is_used(make: Make, net: Internet) -> None:
    mac = make(internet="http://127.0.0.1:9").serve(https_proxy=net.url)
    assert mac.pull("tiny")[-1] == {"status": "success"}


@pytest.mark.parametrize(
    ("host", "no_proxy", "wanted"),
    [
        ("registry.ollama.ai", "", "http://p:1"),
        ("registry.ollama.ai", "localhost,.ollama.ai", None),
        ("registry.ollama.ai", "*", None),
        ("127.0.0.1:11434", "", None),
        ("localhost:11434", "", None),
        ("192.168.1.5:8000", "192.168.1.5", None),
    ],
)
def test_which_hosts_go_through_a_proxy(host: str, no_proxy: str, wanted: str | None) -> None:
    environment = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    assert proxy_for(host, "https", environment) == wanted


def test_pull_from_another_host_needs_insecure(mac: Alone, net: Internet) -> None:
    host = net.url.removeprefix("http://")
    name = f"{host}/library/tiny:latest"
    assert mac.pull(name)[-1]["error"].endswith("http: server gave HTTP response to HTTPS client")
    assert mac.pull(f"http://{name}")[-1]["error"] == "insecure protocol http"
    assert mac.pull(name, insecure=True)[-1] == {"status": "success"}
    assert mac.get("/api/tags")["models"][0]["name"] == name
    assert mac.post("/api/copy", {"source": name, "destination": "tiny"}).status_code == 200


def test_a_plain_registry_without_location_is_an_error(mac: Alone, net: Internet) -> None:
    layer = weights(net)
    net.traffic.control({"faults": [{"prefix": blob_path(layer), "redirect": net.url + "/plain"}]})
    plain = net.folder / f"static/plain{blob_path(layer)}"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(b"x" * 10)
    assert mac.pull(GPT)[-1] == {"error": "http: no Location header in response"}
