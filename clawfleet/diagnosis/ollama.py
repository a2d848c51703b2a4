"""Troubles of Ollama's server: which one is there, whether it answers."""

from __future__ import annotations

from collections.abc import Iterable

from clawfleet import ollama, ollama_server
from clawfleet.diagnosis.known import DEPLOY, TASK, Case, Known, Seen, quoted

_APP_LINK = "/Applications/Ollama.app/Contents/Resources/ollama"


def _there(case: Case) -> bool:
    snapshot = case.snapshot
    return bool(ollama.installed(snapshot) or snapshot.ollama_app)


def _twice(case: Case) -> bool:
    snapshot = case.snapshot
    app = snapshot.ollama_app or snapshot.ollama_cask
    return bool(app and snapshot.ollama_formula)


def _foreign(case: Case) -> bool:
    """Somebody listens who is neither the formula's server nor the app's."""
    return case.snapshot.ollama_owner == "foreign"


def _missing(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    if snapshot.brew and not _there(case) and not snapshot.ollama_cask and not _foreign(case):
        yield Seen("neither the formula nor Ollama.app", DEPLOY)


def _both(case: Case) -> Iterable[Seen]:
    if _twice(case):
        snapshot = case.snapshot
        yield Seen(
            f"the formula {snapshot.ollama_formula}, and "
            f"{snapshot.ollama_app or f'the cask {snapshot.ollama_cask}'}",
            "on the Mac: brew uninstall --cask ollama-app (never --zap: it deletes the models), "
            "or: brew services stop ollama; brew uninstall --formula ollama",
        )


def _app_gone(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    if snapshot.ollama_cask and snapshot.ollama_app is None:
        yield Seen(
            f"Homebrew lists the cask {snapshot.ollama_cask}, and there is no Ollama.app",
            f"on the Mac: brew reinstall --cask {ollama.TOKEN}, or {TASK.format('ollama')}",
        )


def _link(case: Case) -> Iterable[Seen]:
    where = case.symptoms.dangling
    if where and case.snapshot.ollama_app:
        yield Seen(
            f"bin/ollama leads to {where}, which is not there",
            f"on the Mac: ln -sfn {_APP_LINK} {case.snapshot.brew}/bin/ollama",
        )
    elif where and case.snapshot.ollama_formula:
        yield Seen(
            f"bin/ollama leads to {where}, which is not there",
            "on the Mac: brew link --overwrite ollama",
        )


def _port(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    if not _foreign(case):
        return
    version = ollama.installed(snapshot)
    if snapshot.ollama_server and snapshot.ollama_server == version:
        return  # an `ollama serve` by hand, of the installed version, is used as it is
    trouble = ollama.foreign(snapshot, version)
    yield Seen(trouble.found, trouble.fix)


def _by_hand(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    version = ollama.installed(snapshot)
    if _foreign(case) and version and snapshot.ollama_server == version:
        who = ", ".join(f"pid {pid}" for pid in snapshot.ollama_port.pids) or "another user's"
        yield Seen(
            f"`ollama serve` by hand ({who})",
            f"end it where it was started, then {TASK.format('ollama')}",
        )


def _down(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    if _there(case) and not _twice(case) and snapshot.ollama_owner == "none":
        yield Seen(
            f"nothing listens on port {snapshot.ollama_port.port}", TASK.format("ollama"), "ollama"
        )


def _hung(case: Case) -> Iterable[Seen]:
    snapshot = case.snapshot
    ours = snapshot.ollama_owner in ("formula", "app")
    if ours and not _twice(case) and snapshot.ollama_server is None:
        yield Seen(
            f"pid {', '.join(map(str, snapshot.ollama_port.pids))} listens on port "
            f"{snapshot.ollama_port.port} and does not answer",
            TASK.format("ollama"),
            "ollama",
        )


def _version(case: Case) -> Iterable[Seen]:
    """Ollama's own words are ``Warning: client version is …``."""
    snapshot, client = case.snapshot, case.symptoms.client
    server, version = snapshot.ollama_server, ollama.installed(snapshot)
    if _foreign(case) or _twice(case) or server is None:
        return
    if version and server != version:
        yield Seen(
            f"the server is {server}, installed is {version}", TASK.format("ollama"), "ollama"
        )
    elif client and client != server:
        yield Seen(
            f"the server is {server}, the command {snapshot.ollama_link or 'ollama'} is {client}",
            "on the Mac: ls -l $(command -v ollama) shows whose it is; brew link --overwrite "
            "ollama for the formula",
        )


def _stale(case: Case) -> Iterable[Seen]:
    """A server that was started before its file was written, or by something that reads none."""
    snapshot = case.snapshot
    if snapshot.ollama_owner != "formula" or _twice(case) or snapshot.ollama_server is None:
        return
    wanted = ollama_server.assignments(snapshot.ollama_env.loose_text)
    if ollama_server.environment(snapshot, wanted) == "old":
        names = ollama_server.differing(snapshot, wanted)
        without = f"runs without {', '.join(names)} of" if names else "is older than"
        yield Seen(
            f"the server {without} {snapshot.ollama_env.path}", TASK.format("ollama"), "ollama"
        )


def _fight(case: Case) -> Iterable[Seen]:
    found = case.said("11434: bind: address already in use")
    if found and not _twice(case):
        yield Seen(quoted(found), "one Ollama only: quit the other, then " + TASK.format("ollama"))


def _writable_env(case: Case) -> Iterable[Seen]:
    file = case.snapshot.ollama_env
    if file.exists and file.mode and int(file.mode, 8) & 0o022:
        yield Seen(
            f"{file.path} has mode {file.mode}", f"on the Mac: chmod 600 {file.path}", "modes"
        )


TROUBLES = (
    Known(
        "ollama-missing",
        "broken",
        "Ollama is not installed",
        "未安装 Ollama",
        ("ollama: command not found",),
        "neither the formula nor the app is there",
        "one of them",
        f"`{DEPLOY}`",
        _missing,
    ),
    Known(
        "ollama-twice",
        "broken",
        "Formula and app together",
        "同时安装了 formula 与 app 两种 Ollama",
        ("It seems there is already a Binary at", "bind: address already in use"),
        "the app ends the formula's server and takes its port; Homebrew's job then loops, and the "
        "command may be another version than the server",
        "one of them (the models belong to both and stay)",
        "`brew uninstall --cask ollama-app`, or `brew services stop ollama; brew uninstall "
        "--formula ollama`; never `--zap`, it deletes the models",
        _both,
    ),
    Known(
        "ollama-app-gone",
        "broken",
        "Ollama.app was deleted by hand",
        "Ollama.app 被手动删除",
        ("the latest version is already installed",),
        "Homebrew still calls it installed, so `brew install` does nothing",
        "the app, or no cask",
        "`brew reinstall --cask ollama-app`",
        _app_gone,
    ),
    Known(
        "ollama-link",
        "broken",
        "The command `ollama` leads nowhere",
        "ollama 命令的链接失效",
        ("ollama: command not found", "skipping link"),
        "Homebrew's link points to an app or a version that is gone",
        "a link to the Ollama that is there",
        "`brew link --overwrite ollama`, or the link into Ollama.app anew",
        _link,
    ),
    Known(
        "ollama-port",
        "broken",
        "Port 11434 is taken by something else",
        "11434 端口被其他程序占用",
        ("listen tcp 127.0.0.1:11434: bind: address already in use",),
        "an `ollama serve` by hand of another version, or a program that is no Ollama",
        "the Ollama of Homebrew or Ollama.app there, or a free port",
        "end that process by its pid, or set another `ollama_port`",
        _port,
    ),
    Known(
        "ollama-by-hand",
        "note",
        "Ollama was started by hand",
        "Ollama 由手动启动",
        ("(`ollama serve &` in a terminal)",),
        "it is used as it is, and will not come back after a reboot",
        "the service of Homebrew, or Ollama.app",
        f"end it, then `{TASK.format('ollama')}`",
        _by_hand,
    ),
    Known(
        "ollama-down",
        "broken",
        "Ollama does not run",
        "Ollama 未运行",
        (
            "Failed to discover Ollama models: fetch failed",
            "could not connect to a running Ollama instance",
            "Connection error.",
        ),
        "nothing listens on its port",
        "a server that answers",
        f"`{TASK.format('ollama')}`",
        _down,
    ),
    Known(
        "ollama-hung",
        "broken",
        "Ollama hangs",
        "Ollama 无响应",
        ("LLM request timed out.",),
        "its port is open and nothing answers",
        "a server that answers",
        f"`{TASK.format('ollama')}`",
        _hung,
    ),
    Known(
        "ollama-version",
        "broken",
        "Ollama's versions differ (client/server version mismatch)",
        "Ollama 版本不匹配",
        ("Warning: client version is", "requires a newer version of Ollama"),
        "after an upgrade the old server keeps running, or the command is the formula's and the "
        "server the app's. `pkill -f 'ollama serve'` of the article restarts it with its old "
        "environment",
        "server and command of the installed version",
        f"`{TASK.format('ollama')}`: its owner restarts it",
        _version,
    ),
    Known(
        "ollama-stale",
        "broken",
        "Ollama runs with an old environment",
        "Ollama 仍在使用旧的环境变量",
        ("(a variable in ollama.env has no effect)",),
        "Homebrew gives the variables of its file to the service when it starts, and only then",
        "a server that was started after the file was written",
        f"`{TASK.format('ollama')}`",
        _stale,
    ),
    Known(
        "ollama-fight",
        "risk",
        "Two Ollamas fight for the port",
        "两个 Ollama 争用端口",
        ("Error: listen tcp 127.0.0.1:11434: bind: address already in use",),
        "a second server tried to start",
        "one server",
        "quit the other one",
        _fight,
        ("11434: bind: address already in use",),
    ),
    Known(
        "ollama-env-mode",
        "risk",
        "Others may write the service's environment file",
        "ollama.env 权限过宽",
        ("(the service runs without these variables)",),
        "Homebrew reads no file that group or others may write",
        "mode 600",
        "`chmod 600 ~/.homebrew/services/ollama.env`",
        _writable_env,
    ),
)
