"""Troubles of the Mac itself: power, login, disk, clock, Homebrew."""

from __future__ import annotations

import re
from collections.abc import Iterable

from clawfleet import homebrew, ollama
from clawfleet.diagnosis.known import DEPLOY, TASK, Case, Known, Seen
from clawfleet.plan import quote
from clawfleet.preflight import SPARE

LEAST_MACOS = 14
SKEW = 120
"""Seconds that the two clocks may differ: certificates and tokens tolerate more, logs that are
compared do not."""


def _root(case: Case) -> Iterable[Seen]:
    if case.snapshot.uid == 0:
        yield Seen(
            "the connection's user is root", "set ansible_user in hosts.yml to the Mac's own user"
        )


def _macos(case: Case) -> Iterable[Seen]:
    major = case.snapshot.macos.partition(".")[0]
    if major.isdigit() and int(major) < LEAST_MACOS:
        yield Seen(f"macOS {case.snapshot.macos}", "update macOS on that Mac (System Settings)")


def _intel(case: Case) -> Iterable[Seen]:
    if case.snapshot.arch == "x86_64":
        yield Seen(f"{case.snapshot.chip or 'x86_64'}", "use smaller models, or another Mac")


def _sleeps(case: Case) -> Iterable[Seen]:
    minutes = case.symptoms.power.get("sleep", 0)
    if minutes and not case.symptoms.sleep_disabled:
        yield Seen(f"pmset: sleep {minutes} (minutes)", "on the Mac: sudo pmset -a sleep 0")


def _stays_off(case: Case) -> Iterable[Seen]:
    if case.symptoms.power.get("autorestart") == 0:
        yield Seen("pmset: autorestart 0", "on the Mac: sudo pmset -a autorestart 1")


def _no_wake(case: Case) -> Iterable[Seen]:
    if case.symptoms.power.get("womp") == 0 and case.symptoms.power.get("sleep"):
        yield Seen("pmset: womp 0, and it sleeps", "on the Mac: sudo pmset -a womp 1")


def _filevault(case: Case) -> Iterable[Seen]:
    if case.symptoms.filevault:
        yield Seen(
            "fdesetup: FileVault is On",
            "for a planned reboot: sudo fdesetup authrestart; for a Mac on a shelf: turn FileVault "
            "off (System Settings > Privacy & Security), then automatic login on",
        )


def _no_login(case: Case) -> Iterable[Seen]:
    who = case.symptoms.auto_login
    if case.symptoms.filevault or case.symptoms.console is None or case.snapshot.daemons:
        return
    if who != case.snapshot.user:
        found = f"automatic login of {who}" if who else "no automatic login"
        yield Seen(
            f"{found}; this is {case.snapshot.user}'s Mac",
            "System Settings > Users & Groups > Automatically log in as",
        )


def _disk(case: Case) -> Iterable[Seen]:
    free = case.snapshot.disk_free
    missing = ollama.missing(case.snapshot, case.settings)
    needed = ollama.size_of(missing) + SPARE
    if free is not None and free < needed:
        what = f" for {', '.join(m.id for m in missing)} and" if missing else ""
        yield Seen(
            f"{free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed{what} to spare",
            "make room: ollama list and ollama rm MODEL for models that nobody uses",
        )


def _clock(case: Case) -> Iterable[Seen]:
    if case.clock is None or not case.snapshot.now:
        return
    before, after = case.clock
    off = case.snapshot.now - (before if case.snapshot.now < before else after)
    if before - SKEW <= case.snapshot.now <= after + SKEW:
        return
    way = "ahead of" if off > 0 else "behind"
    yield Seen(
        f"its clock is {abs(off):.0f} s {way} this machine's",
        "on the Mac: sudo sntp -sS time.apple.com, and System Settings > General > Date & Time",
    )


def _no_brew(case: Case) -> Iterable[Seen]:
    if case.snapshot.brew is None:
        where = homebrew.prefix(case.snapshot, case.settings)
        yield Seen(f"no bin/brew in {where}", TASK.format("homebrew"))


def _foreign_brew(case: Case) -> Iterable[Seen]:
    brew, owner = case.snapshot.brew, case.symptoms.brew_owner
    if brew and owner and owner != case.snapshot.user and not case.symptoms.brew_writable:
        yield Seen(
            f"{brew} belongs to {owner}; {case.snapshot.user} may not write there",
            f"set ansible_user to {owner}, or on the Mac: "
            f"sudo chown -R {quote(case.snapshot.user)} {quote(brew)}",
        )


def _brew_env(case: Case) -> Iterable[Seen]:
    """brew takes NAME=value literally, and only names of its own (bin/brew of 6.0)."""
    bad = []
    for line in case.snapshot.brew_env.loose_text.splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, _, value = text.partition("=")
        if name.startswith("export "):
            bad.append(f"{name} (export)")
        elif not re.fullmatch(r"HOMEBREW_\w+|SUDO_ASKPASS|(all|no|ftp|https?)_proxy", name):
            bad.append(f"{name[:40]} (not a name that brew takes)")
        elif value[:1] in ("'", '"') or "$" in value:
            bad.append(f"{name} (quotes or $ are taken literally)")
    if bad:
        yield Seen(
            f"{case.snapshot.brew_env.path}: {', '.join(bad)}",
            f"edit it on the Mac: NAME=value, no export, no quotes, no $: "
            f"{quote(case.snapshot.brew_env.path)}",
        )


def _unfinished(case: Case) -> Iterable[Seen]:
    run = case.snapshot.unfinished
    if run is None:
        return
    if re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run):
        yield Seen(f"run {run} was cut off", TASK.format("gateway"), "gateway")
    else:
        yield Seen(
            f"~/.clawfleet/unfinished names no run: {run[:60]!r}",
            "on the Mac: rm ~/.clawfleet/unfinished (the files from before each run are in "
            "~/.clawfleet/backups)",
        )


TROUBLES = (
    Known(
        "root-user",
        "broken",
        "The connection's user is root",
        "以 root 用户连接",
        ("Running Homebrew as root is extremely dangerous",),
        "Homebrew and OpenClaw's LaunchAgent refuse root",
        "the Mac's own user",
        "set `ansible_user` in hosts.yml",
        _root,
    ),
    Known(
        "macos-too-old",
        "broken",
        "macOS is too old",
        "macOS 版本过旧",
        ("(Homebrew or the app says that macOS is too old)",),
        "Ollama's current releases need macOS 14",
        f"macOS {LEAST_MACOS} or later",
        "update macOS",
        _macos,
    ),
    Known(
        "intel",
        "note",
        "An Intel Mac",
        "Intel 芯片的 Mac",
        ("(answers are slow)",),
        "Ollama has no GPU there",
        "Apple silicon",
        "smaller models, or another Mac",
        _intel,
    ),
    Known(
        "sleeps",
        "risk",
        "The Mac goes to sleep",
        "Mac 会进入睡眠",
        ("No route to host", "Operation timed out"),
        "a sleeping Mac answers nobody; often it stays awake only by accident",
        "sleep 0 on mains power",
        "`sudo pmset -a sleep 0`",
        _sleeps,
    ),
    Known(
        "stays-off",
        "risk",
        "Stays off after a power cut",
        "断电后不会自动开机",
        ("(the Mac does not come back)",),
        "`pmset autorestart` is 0, as Macs are sold",
        "autorestart 1",
        "`sudo pmset -a autorestart 1`",
        _stays_off,
    ),
    Known(
        "no-wake",
        "note",
        "Can't be woken over the network",
        "无法通过网络唤醒",
        ("Operation timed out",),
        "`pmset womp` is 0 on a Mac that sleeps",
        "womp 1, or no sleep",
        "`sudo pmset -a womp 1`",
        _no_wake,
    ),
    Known(
        "filevault",
        "risk",
        "FileVault: a reboot ends before the login",
        "FileVault 已开启,重启后需要手动输入密码",
        ("(the Mac does not come back after an update)",),
        "the disk stays locked until somebody types a password; automatic login is impossible with "
        "it, and before macOS 26 there is no SSH until then",
        "a person at hand for each reboot, or FileVault off",
        "`sudo fdesetup authrestart` for a planned reboot",
        _filevault,
    ),
    Known(
        "no-automatic-login",
        "risk",
        "A reboot ends at the login window",
        "未设置自动登录,重启后停在登录窗口",
        ("Domain does not support specified action", "Bootstrap failed: 125"),
        "without a login at the screen there is no GUI domain: no gateway, no Ollama.app",
        "automatic login of the Mac's own user",
        "System Settings > Users & Groups > Automatically log in as",
        _no_login,
    ),
    Known(
        "disk-full",
        "risk",
        "Too little room on the disk",
        "磁盘空间不足",
        ("no space left on device",),
        "the models that are missing do not fit, or nothing is left to work with",
        "room for the models that are missing and 2 GB to spare",
        "`ollama rm MODEL` for models that nobody uses",
        _disk,
    ),
    Known(
        "clock",
        "risk",
        "The clock is wrong",
        "系统时间不准",
        ("certificate is not yet valid", "certificate has expired"),
        "certificates and tokens are refused, and times in logs mislead",
        f"at most {SKEW} s from this machine's clock",
        "`sudo sntp -sS time.apple.com`",
        _clock,
    ),
    Known(
        "no-homebrew",
        "broken",
        "Homebrew is missing",
        "未安装 Homebrew",
        ("brew: command not found",),
        "Ollama and Node come from it",
        "bin/brew in /opt/homebrew or /usr/local",
        f"`{TASK.format('homebrew')}`",
        _no_brew,
    ),
    Known(
        "foreign-homebrew",
        "broken",
        "Homebrew belongs to another user",
        "Homebrew 属于其他用户",
        ("The following directories are not writable by your user",),
        "brew writes only as the user who installed it",
        "Homebrew of the connection's user",
        "connect as its owner, or `sudo chown -R USER PREFIX`",
        _foreign_brew,
    ),
    Known(
        "brew-env",
        "risk",
        "Lines in brew.env that brew does not understand",
        "brew.env 中有 brew 无法识别的行",
        ("(the mirror is not used)",),
        "brew reads NAME=value literally: no export, no quotes, no $HOME, and only its own names",
        "plain lines NAME=value",
        "edit the file",
        _brew_env,
    ),
    Known(
        "run-cut-off",
        "broken",
        "A run of clawfleet was cut off",
        "上一次 clawfleet 运行被中断",
        ("was cut off before its gateway was well",),
        "its files were replaced and the gateway was not seen well since",
        "a run that was finished or undone",
        f"`{TASK.format('gateway')}` or `{DEPLOY}`: it ends or undoes that run",
        _unfinished,
    ),
)
