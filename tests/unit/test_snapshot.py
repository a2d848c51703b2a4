from __future__ import annotations

import base64
import io
import tarfile

import pytest

from clawfleet.architecture import gptoss
from clawfleet.printed import ProbeError, parse_job, seconds
from clawfleet.probe import parse
from clawfleet.snapshot import (
    Job,
    Listener,
    Process,
    Snapshot,
)

# Captured on a Mac (macos-samples), shortened.
PRINTED = """gui/501/ai.openclaw.gateway = {
	active count = 1
	path = /Users/ny/Library/LaunchAgents/ai.openclaw.gateway.plist
	type = LaunchAgent
	state = running

	program = /Users/ny/.openclaw/service-env/ai.openclaw.gateway-env-wrapper.sh
	arguments = {
		gateway
		--port
		18789
	}

	inherited environment = {
		SSH_AUTH_SOCK => /private/tmp/com.apple.launchd.LWzrqsUBP4/Listeners
		https_proxy => http://127.0.0.1:7890
	}

	default environment = {
		PATH => /usr/bin:/bin:/usr/sbin:/sbin
	}

	environment = {
		OSLogRateLimit => 64
		XPC_SERVICE_NAME => ai.openclaw.gateway
	}

	domain = gui/501 [100002]
	runs = 3
	pid = 94358
	last exit code = 78: EX_CONFIG

	resource coalition = {
		state = active
		active count = 1
	}

	job state = running
}
"""


def probe(*lines: str, end: bool = True) -> str:
    head = ["clawfleet.probe\t2", "os.kernel\tDarwin", "os.arch\tarm64", "user.uid\t501"]
    return "\n".join([*head, *lines, *(["clawfleet.end\t1"] if end else [])])


def lines(name: str, text: str) -> list[str]:
    return [f"{name}:l\t{line}" for line in text.splitlines()]


@pytest.mark.parametrize(
    ("etime", "expected"),
    [("00:07", 7), ("12:34", 754), ("01:00:00", 3600), ("2-03:04:05", 183845), (" 00:01 ", 1)],
)
def test_elapsed_time_of_ps(etime: str, expected: int) -> None:
    assert seconds(etime) == expected


def test_a_running_job() -> None:
    assert parse_job(PRINTED) == Job(
        "running",
        94358,
        3,
        "78: EX_CONFIG",
        {
            "SSH_AUTH_SOCK": "/private/tmp/com.apple.launchd.LWzrqsUBP4/Listeners",
            "https_proxy": "http://127.0.0.1:7890",
        },
        {"OSLogRateLimit": "64", "XPC_SERVICE_NAME": "ai.openclaw.gateway"},
        ("gateway", "--port", "18789"),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\tlast exit code = (never exited)", "(never exited)"),
        ("\tlast exit code = 1", "1"),
        ("\tlast terminating signal = Terminated: 15", "Terminated: 15"),
        ("", ""),
    ],
)
def test_a_job_that_does_not_run(line: str, expected: str) -> None:
    job = parse_job(f"gui/501/x = {{\n\tstate = not running\n\truns = 2\n{line}\n}}\n")
    assert job == Job("not running", None, 2, expected, {}, {})


@pytest.mark.parametrize(
    "output",
    ["", "Last login: today\n", probe(end=False), "clawfleet.end\t1", "os.kernel\tDarwin"],
)
def test_an_answer_that_was_cut_is_no_mac(output: str) -> None:
    with pytest.raises(ProbeError, match="cut short"):
        parse(output)


@pytest.mark.parametrize(
    "line",
    ["files.tar\tnot base64!", "files.tar\tAAAA", "files.tar\t", "process:l\t12 x"],
)
def test_a_damaged_answer_is_no_mac(line: str) -> None:
    if line == "files.tar\t":
        assert parse(probe(line)).config.content is None
        return
    with pytest.raises(ProbeError):
        parse(probe(line))


def test_another_system_is_told_by_its_kernel() -> None:
    assert parse("clawfleet.probe\t2\nos.kernel\tLinux\nclawfleet.end\t1") == Snapshot("Linux")


def test_noise_of_a_shells_start_is_passed_over() -> None:
    noise = "Last login: Mon\tttys000\nwelcome\n"
    assert parse(noise + probe()) == parse(probe())


def test_what_is_absent_is_none_empty_or_false() -> None:
    snapshot = parse(probe())
    assert snapshot == Snapshot(kernel="Darwin", arch="arm64", uid=501)
    assert snapshot.ollama_owner == "none"


def test_rosetta_does_not_hide_the_chip() -> None:
    output = probe("sysctl:l\thw.optional.arm64: 1", "sysctl:l\thw.memsize: 34359738368")
    snapshot = parse(output.replace("os.arch\tarm64", "os.arch\tx86_64"))
    assert (snapshot.arch, snapshot.memory) == ("arm64", 32 * 1024**3)
    assert parse(probe().replace("os.arch\tarm64", "os.arch\tx86_64")).arch == "x86_64"


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("iogpu.wired_limit_mb: 24576", 24576),
        ("iogpu.wired_limit_mb: 0", 0),
        ("iogpu.wired_limit_mb: -1", 0),
        ("hw.memsize: 5", 0),
    ],
)
def test_the_gpus_limit_where_it_was_set(line: str, limit: int) -> None:
    assert parse(probe(f"sysctl:l\t{line}")).wired_limit == limit


def test_the_shape_of_a_wanted_model() -> None:
    shown = '{"general.architecture": "gptoss", "gptoss.block_count": 24}'
    output = probe(
        'ollama.api:l\t{"models": [{"name": "GPT-oss:20b", "size": 7}, {"name": "b:latest"}]}',
        f"ollama.show:l\t{shown}",
        "ollama.show:l\t=gpt-oss:20b",
        'ollama.show:l\t{"error": "model \'b\' not found"}',
        "ollama.show:l\t=b",
        "ollama.show:l\t{cut",
        "ollama.show:l\t=c",
        "ollama.show:l\t=d",
    )
    one, other = parse(output).models
    assert one.architecture == gptoss(24)
    assert (other.architecture, other.size) == (None, 0)


def tar_of(**files: bytes) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"/Users/mac/{name}")
            info.size, info.mode, info.uid, info.mtime = len(content), 0o100640, 501, 17
            tar.addfile(info, io.BytesIO(content))
    return base64.b64encode(buffer.getvalue()).decode()


def test_files_come_with_content_mode_and_hash() -> None:
    packed = tar_of(config=b"\xff\r\n", plist=b"")
    output = probe(
        "file.config\t/Users/mac/config",
        "file.auth\t/Users/mac/auth",
        "file.auth.trouble\tnot a regular file",
        "file.plist\t/Users/mac/plist",
        "file.plist.link\t/elsewhere",
        f"files.tar\t{packed}",
    )
    snapshot = parse(output)
    config = snapshot.config
    assert (config.content, config.mode, config.uid, config.mtime) == (b"\xff\r\n", "640", 501, 17)
    assert config.exists
    with pytest.raises(UnicodeDecodeError):
        _ = config.text
    assert not snapshot.auth.exists
    assert snapshot.auth.trouble == "not a regular file"
    assert snapshot.plist.exists
    assert (snapshot.plist.text, snapshot.plist.link) == ("", "/elsewhere")


@pytest.mark.parametrize(
    ("command", "link", "owner"),
    [
        ("/opt/homebrew/opt/ollama/bin/ollama serve", None, "formula"),
        ("/opt/homebrew/Cellar/ollama/0.32.3/bin/ollama serve", None, "formula"),
        ("/Applications/Ollama.app/Contents/Resources/ollama serve", None, "app"),
        ("/Users/mac/Applications/Ollama.app/Contents/Resources/ollama serve", None, "app"),
        ("/opt/homebrew/bin/ollama serve", "../Cellar/ollama/0.32.3/bin/ollama", "formula"),
        (
            "/opt/homebrew/bin/ollama serve",
            "/Applications/Ollama.app/Contents/Resources/ollama",
            "app",
        ),
        ("ollama serve", None, "foreign"),
        ("/usr/local/bin/ollama serve", None, "foreign"),
        ("python3 -m http.server 11434", None, "foreign"),
        ("less /opt/homebrew.txt", None, "foreign"),
    ],
)
def test_the_owner_of_ollamas_port(command: str, link: str | None, owner: str) -> None:
    listener = Listener(11434, (Process(7, 1, 60, command),))
    job = Job("running", 7, 1, "", {}, {})
    snapshot = Snapshot(
        "Darwin", brew="/opt/homebrew", ollama_port=listener, ollama_link=link, ollama_job=job
    )
    assert snapshot.ollama_owner == owner


def test_a_server_of_another_user_is_foreign() -> None:
    assert Snapshot("Darwin", ollama_server="0.32.3").ollama_owner == "foreign"
    # One that is no Ollama: lsof shows other users' processes to root only.
    assert parse(probe("ollama.curl\t28")).ollama_owner == "foreign"
    assert parse(probe("ollama.curl\t7")).ollama_owner == "none"


def test_what_is_read_of_ollamas_server() -> None:
    snapshot = parse(
        probe(
            "ollama.environment\tyes",
            "ollama.variable\tOLLAMA_HOST=127.0.0.1:11434",
            "ollama.variable\tOLLAMA_ORIGINS=",
            "ollama.app\t/Applications/Ollama.app",
            "ollama.app.pid\t600",
            "ollama.app.database\tyes",
            "ollama.app.setting:l\tcontext_length = 4096",
        )
    )
    assert snapshot.ollama_variables == {"OLLAMA_HOST": "127.0.0.1:11434", "OLLAMA_ORIGINS": ""}
    assert snapshot.ollama_app_pids == (600,)
    assert snapshot.ollama_app_settings == {"context_length": "4096"}
    hidden = parse(probe("ollama.port\t7", "process\t7 1 00:09 ollama serve"))
    assert hidden.ollama_variables is None
    assert hidden.ollama_app_pids is None
    assert hidden.ollama_app_settings is None
    assert hidden.ollama_job is None


def test_answers_of_a_server_that_is_no_ollama() -> None:
    output = probe('ollama.api:l\t{"models": ["x", {"id": 1}], "version": 3}', "ollama.api:l\t404")
    assert parse(output).models == ()
