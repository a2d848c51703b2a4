"""The proxy that counts: what it says of who asked."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.evil import EvilProxy, ollama
from tests.lab.lab import Lab, Mac
from tests.lab.test_levels import LEVELS, need

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=LEVELS)
def mac(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mac]:
    need(request.param)
    folder = tmp_path_factory.mktemp("e") / "lab"
    with Lab.up(1, level=request.param, dir=folder, internet=False) as lab:
        yield lab.macs["mac1"]


def test_requests_of_processes_that_ran_before_can_be_left_out(mac: Mac) -> None:
    target = f"127.0.0.1:{mac.spec.ollama_port}"
    with EvilProxy(mac) as evil:
        ask = f"curl -q -s -w '%{{http_code}}' -x {evil.url} --noproxy '' http://{target}/"
        # exec keeps the moment at which the process was started.
        waiting = mac.command(f"echo there; read -r word; exec {ask} -A old")
        pipe = subprocess.PIPE
        with subprocess.Popen(waiting, stdin=pipe, stdout=pipe) as old:
            assert old.stdout
            assert old.stdout.readline() == b"there\n"
            since = evil.clear()
            assert old.communicate(b"go\n", timeout=60)[0] == b"no\n503"
        assert evil.hits() == Counter({target: 1})
        assert evil.hits(since) == Counter()
        assert mac.exec(f"{ask} -A new").stdout == b"no\n503"
        assert ollama(evil.hits(since), mac) == 1
        told = [json.loads(line)["client"] for line in mac.read(evil.log).splitlines()]
        assert [line.rpartition(" ")[2] for line in told] == ["old", "new"]


def test_a_request_of_nobody_knows_whom_counts(mac: Mac) -> None:
    with EvilProxy(mac) as evil:
        since = evil.clear()
        lost = {"verb": "CONNECT", "target": "127.0.0.1:1", "client": None, "born": None}
        mac.write(evil.log, json.dumps(lost).encode())
        assert evil.hits(since) == Counter({"127.0.0.1:1": 1})
