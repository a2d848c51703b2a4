"""File commands of a Mac: where BSD's differ from GNU's, as captured."""

from __future__ import annotations

import hashlib
import os
import plistlib
import re
import stat
import sys
from pathlib import Path

import pytest

from tests.lab.folder_mac import FolderMac

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has the real commands"),
]


@pytest.fixture
def mac(tmp_path: Path) -> FolderMac:
    return FolderMac(tmp_path / "m")


@pytest.fixture
def file(mac: FolderMac) -> Path:
    path = Path(mac.spec.home, "file.txt")
    path.write_bytes(b"x" * 6148)
    path.chmod(0o644)
    os.utime(path, (1700000000, 1600000000))
    return path


def test_stat_formats(mac: FolderMac, file: Path) -> None:
    name = str(file)
    assert mac.out("stat", "-f", "%z", name) == "6148\n"
    assert mac.out("stat", "-f", "%Lp", name) == "644\n"
    assert mac.out("stat", "-f", "%p", name) == "100644\n"
    assert mac.out("stat", "-f%OLp", name) == "644\n"
    assert mac.out("stat", "-f", "%Sp %HT", name) == "-rw-r--r-- Regular File\n"
    assert mac.out("stat", "-f", "%m %a", name) == "1600000000 1700000000\n"
    assert mac.out("stat", "-f", "%Su %Sg %u %N", name) == f"mac staff {os.getuid()} {name}\n"
    assert mac.out("stat", "-f", "%Sm", "-t", "%Y", name) == "2020\n"
    assert mac.out("stat", "-nf", "%z%%%t|", name) == "6148%\t|"


def test_stat_does_not_follow_links(mac: FolderMac, file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to("file.txt")
    # The format of pyinfra's File fact.
    form = "user=%Su group=%Sg mode=%Sp atime=%a mtime=%m ctime=%c size=%z %N%SY"
    answer = mac.out("stat", "-f", form, str(link))
    mode = r"user=mac group=staff mode=lrwxrwxrwx atime=\d+ mtime=\d+ ctime=\d+ size=8 "
    assert re.fullmatch(mode + re.escape(f"{link} -> file.txt\n"), answer)
    assert mac.out("stat", "-L", "-f", "%z", str(link)) == "6148\n"


def test_stat_special_bits(mac: FolderMac, file: Path) -> None:
    file.chmod(0o1755)
    assert mac.out("stat", "-f", "%Mp%Lp %p", str(file)) == "1755 101755\n"


def test_stat_failures(mac: FolderMac) -> None:
    assert mac.run("stat", "-f", "%z", "missing") == (
        1,
        "",
        "stat: missing: stat: No such file or directory\n",
    )
    code, output, error = mac.run("stat", "-c", "%s", "missing")
    assert (code, output) == (1, "")
    assert error.startswith("stat: illegal option -- c\nusage: stat [-FLnq] [-f format")


def test_df(tmp_path: Path) -> None:
    mac = FolderMac(tmp_path / "d", disk_free=182797652 * 1024)
    posix = mac.out("df", "-Pk", mac.spec.home).splitlines()
    assert posix[0].split() == [
        "Filesystem",
        "1024-blocks",
        "Used",
        "Available",
        "Capacity",
        "Mounted",
        "on",
    ]
    device, total, used, free, percent, place = posix[1].split()
    assert (device, free, place) == ("/dev/disk3s5", "182797652", "/System/Volumes/Data")
    assert int(total) == int(used) + int(free)
    assert re.fullmatch(r"\d+%", percent)
    wide = mac.out("df", "-k", "/").splitlines()
    head = "Filesystem 1024-blocks Used Available Capacity iused ifree %iused Mounted on"
    assert wide[0].split() == head.split()
    assert wide[1].split()[0] == "/dev/disk3s1s1"
    assert len(wide[1].split()) == 9


def test_df_columns_stand_as_captured() -> None:
    from tests.lab.standins.disks import table

    row = [
        "/dev/disk3s5",
        "482797652",
        "300000000",
        "182797652",
        "63%",
        "1",
        "1",
        "0%",
        "/System/Volumes/Data",
    ]
    assert table([row], "1024-blocks", inodes=False) == (
        "Filesystem   1024-blocks      Used Available Capacity  Mounted on\n"
        "/dev/disk3s5   482797652 300000000 182797652    63%    /System/Volumes/Data\n"
    )
    row = [
        "/dev/disk3s1s1",
        "482797652",
        "157286400",
        "182797652",
        "8%",
        "404000",
        "1827976520",
        "0%",
        "/",
    ]
    assert table([row], "1024-blocks", inodes=True) == (
        "Filesystem     1024-blocks      Used Available Capacity"
        " iused      ifree %iused  Mounted on\n"
        "/dev/disk3s1s1   482797652 157286400 182797652     8%  404000 1827976520    0%   /\n"
    )


def test_df_missing(mac: FolderMac) -> None:
    code, output, error = mac.run("df", "-Pk", "/nope")
    assert (code, output, error) == (1, "", "df: /nope: No such file or directory\n")


def test_shasum(mac: FolderMac, file: Path) -> None:
    value = hashlib.sha256(file.read_bytes()).hexdigest()
    assert mac.out("shasum", "-a", "256", "file.txt") == f"{value}  file.txt\n"
    assert mac.out("shasum", "-a", "256", stdin=b"x" * 6148) == f"{value}  -\n"
    assert mac.out("shasum", "file.txt").startswith(hashlib.sha1(file.read_bytes()).hexdigest())
    checked = mac.out("shasum", "-a", "256", "-c", stdin=f"{value}  file.txt\n".encode())
    assert checked == "file.txt: OK\n"
    code, output, _ = mac.run("shasum", "-a", "256", "-c", stdin=f"{'0' * 64}  file.txt\n".encode())
    assert (code, output) == (1, "file.txt: FAILED\n")
    assert mac.run("shasum", "-a", "256", "missing") == (
        1,
        "",
        "shasum: missing: No such file or directory\n",
    )


def test_md5(mac: FolderMac, file: Path) -> None:
    value = hashlib.md5(file.read_bytes()).hexdigest()
    assert mac.out("md5", "file.txt") == f"MD5 (file.txt) = {value}\n"
    assert mac.out("md5", "-q", "file.txt") == f"{value}\n"


def test_base64(mac: FolderMac) -> None:
    long = bytes(range(256))
    encoded = mac.out("base64", stdin=long)
    assert encoded.count("\n") == 1
    code, output, _ = mac.run("base64", "-d", stdin=b"aGkK\n")
    assert (code, output) == (0, "hi\n")
    assert mac.run("base64", "-D", stdin=b"aGkK")[1] == "hi\n"
    assert mac.run("base64", "-w0", stdin=b"hi")[0] == 64
    assert mac.run("base64", "file")[0] == 64
    assert mac.run("base64", "-d", stdin=b"not base64!")[0] == 1


def test_mktemp(mac: FolderMac) -> None:
    folder = Path(mac.out("mktemp", "-d").strip())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.is_dir()
    assert str(folder).startswith(f"{mac.spec.root}/var/folders/")
    path = mac.out("mktemp", f"{mac.spec.home}/x.XXXXXX").strip()
    assert re.fullmatch(r".*/x\.[A-Za-z0-9]{6}", path)
    # Only X at the end are replaced.
    assert mac.out("mktemp", f"{mac.spec.home}/XXXX.txt") == f"{mac.spec.home}/XXXX.txt\n"
    code, _, error = mac.run("mktemp", f"{mac.spec.home}/XXXX.txt")
    assert (code, error) == (
        1,
        f"mktemp: mkstemp failed on {mac.spec.home}/XXXX.txt: File exists\n",
    )
    assert mac.run("mktemp", "--suffix=x")[0] == 1


def test_date(mac: FolderMac) -> None:
    assert re.fullmatch(r"\d{10}\n", mac.out("date", "+%s"))
    assert mac.out("date", "-u", "-r", "0", "+%Y-%m-%dT%H:%M:%SZ") == "1970-01-01T00:00:00Z\n"
    assert mac.out("date", "-u", "-r", "0") == "Thu Jan  1 00:00:00 UTC 1970\n"
    assert mac.out("date", "-ju", "-r", "0", "+%N") == "N\n"
    assert mac.out("date", "-u", "-r", "86400", "-v+1d", "+%d") == "03\n"
    code, output, error = mac.run("date", "-d", "yesterday")
    assert (code, output) == (1, "")
    assert error.startswith("date: illegal option -- d\nusage: date")


def test_sed_in_place(mac: FolderMac) -> None:
    path = Path(mac.spec.home, "s.txt")
    path.write_text("hi there\n")
    mac.out("sed", "-i", "", "s/hi/ho/", str(path))
    assert path.read_text() == "ho there\n"
    mac.out("sed", "-i.bak", "-e", "s/ho/ha/", str(path))
    assert path.read_text() == "ha there\n"
    assert path.with_name("s.txt.bak").read_text() == "ho there\n"
    # GNU's form: the script is taken for the suffix, the file for the script.
    assert mac.run("sed", "-i", "s/ha/x/", str(path))[0] != 0
    assert path.read_text() == "ha there\n"
    assert mac.run("sed", "--expression=p", str(path))[0] == 1
    assert mac.out("sed", "-n", "-E", "s/(a) (t)/\\2\\1/p", stdin=b"ha there\n") == "htahere\n"


def test_xattr(mac: FolderMac, file: Path) -> None:
    name = "com.apple.quarantine"
    missing = (1, "", f"xattr: {file}: No such xattr: {name}\n")
    assert mac.run("xattr", "-p", name, str(file)) == missing
    mac.out("xattr", "-w", name, "0181;x", str(file))
    assert mac.out("xattr", str(file)) == f"{name}\n"
    assert mac.out("xattr", "-p", name, str(file)) == "0181;x\n"
    mac.out("xattr", "-dr", name, mac.spec.home)
    assert mac.out("xattr", str(file)) == ""
    assert mac.run("xattr", "-d", name, str(file)) == missing


@pytest.fixture
def plist(mac: FolderMac) -> str:
    path = Path(mac.spec.home, "Info.plist")
    values = {
        "CFBundleShortVersionString": "0.32.3",
        "KeepAlive": True,
        "Number": 3,
        "ProgramArguments": ["/bin/sh", "-c"],
        "Nested": {"b": "two", "a": "one"},
    }
    path.write_bytes(plistlib.dumps(values))
    return str(path)


def test_plutil_extract(mac: FolderMac, plist: str) -> None:
    def raw(key: str) -> str:
        return mac.out("plutil", "-extract", key, "raw", "-o", "-", plist)

    assert raw("CFBundleShortVersionString") == "0.32.3\n"
    assert raw("KeepAlive") == "true\n"
    assert raw("ProgramArguments") == "2\n"
    assert raw("ProgramArguments.0") == "/bin/sh\n"
    assert raw("Nested") == "a\nb\n"
    assert raw("Nested.b") == "two\n"
    text = "Could not extract value, error: No value at that key path or invalid key path: NoSuch"
    assert mac.run("plutil", "-extract", "NoSuch", "raw", "-o", "-", plist) == (
        1,
        "",
        f"{plist}: {text}\n",
    )


def test_plutil_extract_without_output_replaces_the_file(mac: FolderMac, plist: str) -> None:
    mac.out("plutil", "-extract", "Nested", "xml1", plist)
    assert plistlib.loads(Path(plist).read_bytes()) == {"a": "one", "b": "two"}


def test_plutil_convert(mac: FolderMac, plist: str) -> None:
    shown = mac.out("plutil", "-convert", "json", "-o", "-", plist)
    assert '"ProgramArguments":["\\/bin\\/sh","-c"]' in shown
    assert not shown.endswith("\n")
    mac.out("plutil", "-convert", "binary1", plist)
    assert Path(plist).read_bytes().startswith(b"bplist00")
    assert mac.out("plutil", "-convert", "xml1", "-o", "-", plist).startswith("<?xml")


def test_plutil_lint(mac: FolderMac, plist: str) -> None:
    assert mac.out("plutil", "-lint", plist) == f"{plist}: OK\n"
    broken = Path(mac.spec.home, "broken.plist")
    broken.write_text('<?xml version="1.0"?><plist><dict>')
    code, _, error = mac.run("plutil", "-lint", str(broken))
    assert (code, error) == (1, f"{broken}: (Encountered unexpected EOF)\n")
    code, _, error = mac.run("plutil", "-lint", "missing.plist")
    assert code == 1
    assert error.startswith("missing.plist: file does not exist or is not readable or is not a ")


def test_defaults(mac: FolderMac, plist: str) -> None:
    bare = plist.removesuffix(".plist")
    assert mac.out("defaults", "read", bare, "CFBundleShortVersionString") == "0.32.3\n"
    assert mac.out("defaults", "read", plist, "Nested") == "{\n    a = one;\n    b = two;\n}\n"
    code, output, error = mac.run("defaults", "read", plist, "NoSuchKey")
    assert (code, output) == (1, "")
    assert error.splitlines()[1] == (
        f"The domain/default pair of ({plist}, NoSuchKey) does not exist"
    )
    Path(mac.spec.home, "Library", "Preferences").mkdir(parents=True)
    mac.out("defaults", "write", "com.electron.ollama", "Flag", "-bool", "true")
    assert mac.out("defaults", "read", "com.electron.ollama", "Flag") == "1\n"


def test_defaults_of_the_whole_mac(mac: FolderMac) -> None:
    """Where a Mac is a folder, its /Library is not this machine's."""
    window = "/Library/Preferences/com.apple.loginwindow"
    code, output, error = mac.run("defaults", "read", window, "autoLoginUser")
    assert (code, output) == (1, "")
    assert "does not exist" in error
    os.makedirs(mac.spec.path("/Library/Preferences"))
    mac.out("defaults", "write", window, "autoLoginUser", "mac")
    assert mac.out("defaults", "read", window, "autoLoginUser") == "mac\n"
    assert os.path.exists(mac.spec.path(f"{window}.plist"))
