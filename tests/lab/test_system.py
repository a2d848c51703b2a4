"""What a Mac says of itself: texts, streams and exit codes as captured on real Macs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.lab.folder_mac import FolderMac

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has the real commands"),
]

SW_VERS = "ProductName:\t\tmacOS\nProductVersion:\t\t15.6\nBuildVersion:\t\t24G84\n"
NO_TOOLS = (
    "xcode-select: note: No developer tools were found, requesting install.\n"
    "If developer tools are located at a non-default location on disk, use `sudo xcode-select "
    "--switch path/to/Xcode.app` to specify the Xcode that you wish to use for command line "
    "developer tools, and cancel the installation dialog.\n"
    "See `man xcode-select` for more details.\n"
)
PROXY = {
    "ExceptionsList": ["192.168.0.0/16", "*.local"],
    "ExcludeSimpleHostnames": 0,
    "HTTPEnable": 1,
    "HTTPPort": 7899,
    "HTTPProxy": "127.0.0.1",
}
SCUTIL = """\
<dictionary> {
  ExceptionsList : <array> {
    0 : 192.168.0.0/16
    1 : *.local
  }
  ExcludeSimpleHostnames : 0
  HTTPEnable : 1
  HTTPPort : 7899
  HTTPProxy : 127.0.0.1
}
"""


@pytest.fixture
def mac(tmp_path: Path) -> FolderMac:
    return FolderMac(tmp_path / "m")


@pytest.fixture
def intel(tmp_path: Path) -> FolderMac:
    chip = "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz"
    return FolderMac(tmp_path / "i", arch="x86_64", chip=chip)


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        ([], "Darwin"),
        (["-s"], "Darwin"),
        (["-m"], "arm64"),
        (["-r"], "24.6.0"),
        (["-sm"], "Darwin arm64"),
        (["-m", "-s"], "Darwin arm64"),
        (["-snrmp"], "Darwin mac1 24.6.0 arm64 arm"),
    ],
)
def test_uname(mac: FolderMac, flags: list[str], answer: str) -> None:
    assert mac.out("uname", *flags) == answer + "\n"


def test_uname_refuses_gnu_options(mac: FolderMac) -> None:
    code, output, error = mac.run("uname", "--kernel-name")
    assert (code, output) == (1, "")
    assert error == "uname: illegal option -- -\nusage: uname [-amnoprsv]\n"


def test_sw_vers(mac: FolderMac) -> None:
    assert mac.out("sw_vers") == SW_VERS
    assert mac.out("sw_vers", "-productVersion") == "15.6\n"
    assert mac.out("sw_vers", "--buildVersion") == "24G84\n"


def test_values_follow_the_spec(tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "v", macos="26.5.2", build="25F84", memory=8 << 30, cores=8)
    assert mac.out("sw_vers", "-productVersion") == "26.5.2\n"
    assert mac.out("sysctl", "-n", "hw.memsize", "hw.ncpu") == f"{8 << 30}\n8\n"


def test_sysctl(mac: FolderMac) -> None:
    assert mac.out("sysctl", "-n", "hw.memsize") == "34359738368\n"
    assert mac.out("sysctl", "iogpu.wired_limit_mb") == "iogpu.wired_limit_mb: 0\n"
    assert mac.out("sysctl", "-n", "hw.optional.arm64") == "1\n"
    assert mac.out("sysctl", "-n", "sysctl.proc_translated") == "0\n"


def test_sysctl_changes_only_for_root(mac: FolderMac) -> None:
    code, output, _ = mac.run("sysctl", "iogpu.wired_limit_mb=24576")
    assert (code, output) == (1, "")
    changed = mac.out("sudo", "sysctl", "iogpu.wired_limit_mb=24576")
    assert changed == "iogpu.wired_limit_mb: 0 -> 24576\n"
    assert mac.out("sysctl", "-n", "iogpu.wired_limit_mb") == "24576\n"


@pytest.mark.parametrize("oid", ["iogpu.wired_limit_mb", "hw.optional.arm64", "no.such"])
def test_sysctl_unknown_on_intel(intel: FolderMac, oid: str) -> None:
    assert intel.run("sysctl", "-n", oid) == (1, "", f"sysctl: unknown oid '{oid}'\n")
    assert intel.out("uname", "-m") == "x86_64\n"


def test_id(tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "id", uid=501, gid=20)
    assert mac.out("id", "-u") == "501\n"
    assert mac.out("id", "-un") == "mac\n"
    assert mac.out("whoami") == "mac\n"
    assert mac.out("id").startswith("uid=501(mac) gid=20(staff) groups=20(staff)")
    assert mac.out("sudo", "id", "-u") == "0\n"


def test_developer_tools(mac: FolderMac) -> None:
    assert mac.run("python3", "--version") == (1, "", NO_TOOLS)
    assert mac.run("git", "--version") == (1, "", NO_TOOLS)
    code, output, error = mac.run("xcode-select", "-p")
    assert (code, output) == (2, "")
    assert error.startswith("xcode-select: error: unable to get active developer directory. Use")
    tools = Path(f"{mac.spec.root}/Library/Developer/CommandLineTools")
    tools.mkdir(parents=True)
    assert mac.out("xcode-select", "-p") == f"{tools}\n"


def test_scutil_proxy(mac: FolderMac) -> None:
    assert mac.out("scutil", "--proxy") == "<dictionary> {\n  FTPPassive : 1\n}\n"
    Path(mac.spec.state, "proxy.json").write_text(json.dumps(PROXY))
    assert mac.out("scutil", "--proxy") == SCUTIL


def test_networksetup(mac: FolderMac) -> None:
    assert mac.out("networksetup", "-listallnetworkservices") == (
        "An asterisk (*) denotes that a network service is disabled.\n"
        "Thunderbolt Bridge\nWi-Fi\n*iPhone USB\n"
    )
    off = "Enabled: No\nServer: \nPort: 0\nAuthenticated Proxy Enabled: 0\n"
    assert mac.out("networksetup", "-getsecurewebproxy", "Wi-Fi") == off
    Path(mac.spec.state, "proxy.json").write_text(json.dumps(PROXY))
    assert mac.out("networksetup", "-getwebproxy", "Wi-Fi") == (
        "Enabled: Yes\nServer: 127.0.0.1\nPort: 7899\nAuthenticated Proxy Enabled: 0\n"
    )
    code, output, error = mac.run("networksetup", "-getwebproxy", "Ethernet")
    assert code != 0
    assert error == ""
    assert output == (
        "Ethernet is not a recognized network service.\n** Error: The parameters were not valid.\n"
    )


def test_pmset(mac: FolderMac) -> None:
    shown = mac.out("pmset", "-g").splitlines()
    assert shown[:3] == [
        "System-wide power settings:",
        " SleepDisabled\t\t0",
        "Currently in use:",
    ]
    assert " sleep                1 (sleep prevented by powerd, sharingd)" in shown
    assert " Sleep On Power Button 1" in shown
    assert mac.run("pmset", "-a", "sleep", "0") == (77, "'pmset' must be run as root...\n", "")
    mac.out("sudo", "pmset", "-a", "sleep", "0", "womp", "0")
    custom = mac.out("pmset", "-g", "custom").splitlines()
    assert custom[0] == "AC Power:"
    assert " sleep                0" in custom
    assert " womp                 0" in custom


def test_system_profiler(mac: FolderMac) -> None:
    shown = mac.out("system_profiler", "SPHardwareDataType", "-json")
    assert shown.startswith(
        '{\n  "SPHardwareDataType" : [\n    {\n      "_name" : "hardware_overview"'
    )
    hardware = json.loads(shown)["SPHardwareDataType"][0]
    assert hardware["chip_type"] == "Apple M2 Pro"
    assert hardware["physical_memory"] == "32 GB"
    assert hardware["number_processors"] == "proc 10:5:5"


def test_dscl(mac: FolderMac) -> None:
    shell = mac.out("dscl", ".", "-read", "/Users/mac", "UserShell")
    assert shell == "UserShell: /bin/zsh\n"
    assert mac.run("dscl", ".", "-read", "/Users/nobodyhere", "UniqueID") == (
        56,
        "",
        "<dscl_cmd> DS Error: -14136 (eDSRecordNotFound)\n",
    )


def test_filevault(mac: FolderMac) -> None:
    assert mac.out("fdesetup", "status") == "FileVault is Off.\n"
    Path(mac.spec.state, "filevault").write_text("on\n")
    assert mac.out("fdesetup", "status") == "FileVault is On.\n"


def test_console(tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "c", uid=501)
    assert mac.out("stat", "-f", "%Su", "/dev/console") == "mac\n"
    Path(mac.spec.state, "console-uid").write_text("0\n")
    assert mac.out("stat", "-f", "%Su", "/dev/console") == "root\n"
    away = FolderMac(tmp_path / "a", uid=501, gui_login=False)
    assert away.out("stat", "-f", "%u", "/dev/console") == "0\n"


NEEDS_PASSWORD = "sudo: a password is required\n"


def test_sudo(mac: FolderMac, tmp_path: Path) -> None:
    assert mac.run("sudo", "-n", "true") == (0, "", "")
    assert mac.run("sudo", "-n", "sh", "-c", "exit 7")[0] == 7
    assert mac.out("sudo", "-n", "sh", "-c", "echo $SUDO_USER $USER") == "mac root\n"
    assert mac.run("sudo", "-n", "nope") == (1, "", "sudo: nope: command not found\n")
    locked = FolderMac(tmp_path / "p", sudo="password")
    assert locked.run("sudo", "-n", "true") == (1, "", NEEDS_PASSWORD)
    code, output, error = locked.run("sudo", "true")
    assert (code, output) == (1, "")
    assert error == (
        "sudo: a terminal is required to read the password; either use the -S option to read "
        "from standard input or configure an askpass helper\n" + NEEDS_PASSWORD
    )
    code, output, _ = locked.run("sudo", "-S", "cat", stdin=b"lab\nrest")
    assert (code, output) == (0, "rest")
    assert locked.run("sudo", "-S", "true", stdin=b"wrong\n")[0] == 1


def test_commands_of_linux_fail(mac: FolderMac) -> None:
    code, output, error = mac.run("sha256sum", "/dev/null")
    assert (code, output, error) == (127, "", "sh: sha256sum: command not found\n")


def test_caffeinate_runs_its_command(mac: FolderMac) -> None:
    assert mac.run("caffeinate", "-is", "sh", "-c", "echo awake; exit 3") == (3, "awake\n", "")


def test_open_needs_an_app_and_a_screen(mac: FolderMac, tmp_path: Path) -> None:
    code, _, error = mac.run("open", "-a", "Nope")
    assert (code, error) == (1, "Unable to find application named 'Nope'\n")
    away = FolderMac(tmp_path / "o", gui_login=False)
    app = Path(away.spec.applications, "Ollama.app", "Contents", "MacOS")
    app.mkdir(parents=True)
    code, _, error = away.run("open", "-j", "-a", "Ollama.app", "--args", "--fast-startup")
    assert code == 1
    assert "cannot be opened for an unexpected reason" in error
