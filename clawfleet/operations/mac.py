"""How every operation of ours behaves: one Mac's trouble is that Mac's trouble.

In pyinfra an exception inside an operation stops every host (3.10, api/operations.py:94). Here it
becomes a failed command of this host: printed with what was found, what was expected and what
fixes it. Whoever failed while preparing is passed over by the operations that follow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any, ParamSpec

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.operation import PyinfraOperation

from clawfleet import commit, gateway, ledger, ownership, redact, run
from clawfleet.connection import is_lost
from clawfleet.diff import color, unified
from clawfleet.plan import FileChange, Step, Trouble, quote
from clawfleet.report import at_the_end
from clawfleet.snapshot import Snapshot

P = ParamSpec("P")
Commands = Generator[Any, None, None]


def mac_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """A pyinfra operation from a generator that may raise Trouble, or anything else."""
    return _guarded(function, _resume)


def reading_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """The same for one that only reads: it does not end the moves of a run that was cut off."""
    return _guarded(function, lambda _: None)


def _guarded(
    function: Callable[P, Commands], begin: Callable[[run.MacRun], None]
) -> PyinfraOperation[P]:
    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Commands:
        mac = run.current()
        at_the_end(mac.state)
        if mac.trouble is not None:
            host.noop("this Mac was stopped before this step")
            return
        try:
            begin(mac)
            for command in function(*args, **kwargs):
                if mac.executing:
                    mac.changed()
                yield command
                if mac.executing:
                    mac.changed()
        except Trouble as trouble:
            mac.fail(trouble)
            yield _failure()
        except Exception as error:
            mac.fail(unexpected(error))
            yield _failure()

    return operation()(guarded)


def _resume(mac: run.MacRun) -> None:
    """End the moves of a run that was cut off between them, so that none of them is half-done."""
    if not mac.executing or mac.snapshot.unfinished in (None, mac.run) or mac.resumed:
        return
    mac.resumed = True
    ok, output = shell(mac, commit.resume(mac.transaction, mac.port, daemons=mac.daemons), 180)
    mac.changed()
    if not ok:
        raise Trouble(
            f"run {mac.transaction} was cut off, and can't be gone on from: "
            f"{last_lines(mac, output, 1)}",
            expected="exit code 0",
            fix="run again; the files from before that run are in ~/.clawfleet/backups",
        )


def unexpected(error: Exception) -> Trouble:
    """An error that nobody foresaw, such as a cut connection, as this Mac's trouble."""
    lost = isinstance(error, (EOFError, OSError)) or type(error).__name__ == "SSHException"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if lost:
        return Trouble(
            f"the connection broke ({text})",
            expected="an SSH connection until the end of the run",
            fix="check the network and that the Mac does not sleep, then run again: what was done "
            "is found and kept",
        )
    return Trouble(
        redact.text(text, salt=run.salt()),
        expected="no such error; this is a defect of clawfleet",
        fix="run again with --debug and report what it prints (secrets are not in it)",
    )


def recover(mac: run.MacRun) -> None:
    """After a failure in an open transaction: the files from before it back, gateway started."""
    if not mac.open:
        return
    mac.stopped = mac.cut = False
    mac.changed()
    try:
        again = gateway.start_again(mac.port, mac.transaction, daemons=mac.daemons)
        ok, output = shell(mac, again, 180)
    except Exception as error:
        mac.say(f"its gateway was not started again: {unexpected(error).found}", "red")
        return
    for line in output.stdout.splitlines():
        mac.say(mac.redacted(line))
    if ok:
        mac.say("the gateway was started again")
    else:
        mac.say(f"its gateway was not started again: {last_lines(mac, output, 1)}", "red")


def _failure() -> FunctionCommand:
    mac = run.current()

    def stop_this_mac(state: State, host: Host) -> bool:  # noqa: ARG001 (pyinfra calls by name)
        recover(mac)
        return False

    return FunctionCommand(stop_this_mac, (), {})


def call(function: Callable[[run.MacRun], None]) -> FunctionCommand:
    """A command that runs `function` on this machine; Trouble or any error fails this Mac only."""
    mac = run.current()

    def on_this_mac(state: State, host: Host) -> bool:  # noqa: ARG001
        try:
            function(mac)
        except Trouble as trouble:
            mac.fail(trouble)
            recover(mac)
            return False
        except Exception as error:
            mac.fail(unexpected(error))
            recover(mac)
            return False
        return True

    return FunctionCommand(on_this_mac, (), {})


def announce(mac: run.MacRun, steps: Iterable[Step], files: Iterable[FileChange]) -> None:
    """Say what will be done, before the first yield: the dry run sees exactly this."""

    def short(text: str) -> str:
        home = mac.snapshot.home
        return text.replace(f"{home}/", "~/") if home else text

    for change in files:
        verb = "remove" if change.gone else "modify" if change.file.exists else "create"
        mac.say(f"Will {verb} {short(change.path)}")
        if mac.state.config.DIFF:
            for reason in change.reasons:
                mac.say(f"  because {reason}")
            if change.path == mac.snapshot.owned.path:
                continue  # It is only ours, and holds secrets of the user's under no name.
            before = None if change.file.content is None else _decode(change.file.content)
            after = None if change.gone else _decode(change.after)
            path, known = short(change.path), mac.known_secrets
            lines = unified(path, before, after, salt=run.salt(), known=known)
            for line in color(lines):
                mac.say(f"  {line}")
    for step in steps:
        # A reason may quote the command line of a process.
        mac.say(mac.redacted(f"Will {short(step.title)}: {short(step.reason)}"))
        if step.show and mac.state.config.DIFF:
            mac.say(f"  {mac.redacted(short(step.show))}")


def execute(step: Step) -> FunctionCommand:
    """A command that runs a step's script on the Mac."""

    def run_step(mac: run.MacRun) -> None:
        script = step.script
        if step.keeps:
            script = commit.head(mac.run, "other") + script
        if step.installs:
            script = f"(\n{script}\n) || exit $?\n{installed(step.installs)}"
        ok, output = shell(mac, script, step.timeout)
        if not ok:
            # The ends of three logs are in it.
            *before, last = last_lines(mac, output, 40).splitlines()
            mac.results["output"] = [*before, last]
            for line in before:
                mac.say(line)
            raise Trouble(
                f"{step.title} failed: {last}",
                expected="exit code 0",
                fix=step.fix,
            )

    return call(run_step)


def hand_over(mac: run.MacRun) -> None:
    """From here on the gateway's own script looks after the gateway, also when it fails."""
    mac.stopped = mac.cut = False


def write(
    files: list[FileChange],
    *,
    validate: str | None = None,
    restart_reasons: Iterable[str] = (),
    book: bool = True,
    running: bool = False,
) -> FunctionCommand:
    """A command that puts files in place on the Mac: all of them or none.

    With `restart_reasons` the gateway reads them: it is stopped meanwhile, and whatever comes
    next has to start it (the gateway's operation, or :func:`recover` when the Mac fails). With
    `book` the Mac's ledger says afterwards what was written. With `running` the gateway is not
    stopped, and what comes next has to see that it applies the change.
    """
    reasons = list(restart_reasons)

    def commit_files(mac: run.MacRun) -> None:
        snapshot = mac.snapshot
        script = commit.script(
            [*(ledger_change(snapshot, files) if book else ()), *files],
            run=mac.transaction if reasons else mac.run,
            validate=validate,
            restart_reasons=reasons,
            port=mac.port if reasons else None,
            also=[file.path for file in snapshot.read_by_gateway] if reasons else (),
            running=running,
            daemons=mac.daemons,
        )
        before, mac.stopped = mac.stopped, mac.stopped or bool(reasons)
        ok, output = shell(mac, script, 300)
        if not ok and commit.STOPPED not in output.stdout:
            mac.stopped = before
        if ok:
            return
        said = last_lines(mac, output)
        if "changed since it was read" in said:
            raise Trouble(
                said,
                expected="the file as it was when this run read it; nothing was written",
                fix="run again (somebody, or OpenClaw itself, wrote it in the meantime)",
            )
        raise Trouble(
            f"the new files were not put in place: {said}",
            expected="OpenClaw's own check accepts them" if validate else "exit code 0",
            fix="nothing was changed on the Mac; run with --diff to see the new content",
        )

    return call(commit_files)


def remember(before: Snapshot) -> FunctionCommand:
    """A command that writes into the Mac's ledger what OpenClaw's own installer has made of the
    files that it writes, as they were `before`."""

    def write_down(mac: run.MacRun) -> None:
        now = mac.snapshot
        pairs = ((before.plist, now.plist), (before.service_env, now.service_env))
        changed = [
            FileChange(replace(old, path=old.link or old.path), new.content)
            for old, new in pairs
            if new.content is not None and new.content != old.content
        ]
        book = ledger_change(now, changed)
        if not book:
            return
        script = commit.script(book, run=mac.transaction, part="gateway")
        ok, output = shell(mac, script, 60)
        if not ok:
            raise Trouble(
                f"{book[0].path} was not written: {last_lines(mac, output, 1)}",
                expected="the LaunchAgent that was there before is remembered",
                fix="the gateway is well; what was there before is in ~/.clawfleet/backups",
            )

    return call(write_down)


def ledger_change(snapshot: Snapshot, files: Iterable[FileChange]) -> list[FileChange]:
    """The new content of the Mac's ledger once these files are written."""
    before = snapshot.owned
    after = ledger.dumps(ledger.record(ownership.ledger_of(snapshot), files))
    change = FileChange(before, after.encode())
    return [] if change.same else [change]


def installed(what: str) -> str:
    """sh that writes down what clawfleet has installed on a Mac."""
    folder = '"$HOME/.clawfleet"'
    return (
        f"umask 077; mkdir -p {folder} && chmod 700 {folder} && "
        f"printf '%s\\n' {quote(what)} >> {folder}/installed\n"
    )


def with_stamp(step: Step, reason: str) -> Step:
    """The step, which first leaves the reason for a restart of the gateway on the Mac."""
    stamp = (
        f'umask 077; mkdir -p "$HOME/.clawfleet" && chmod 700 "$HOME/.clawfleet" && '
        f'printf "%s\\n" {quote(reason)} >> "$HOME/.clawfleet/restart-needed" || exit 1\n'
    )
    return replace(step, script=stamp + step.script)


def shell(mac: run.MacRun, script: str, timeout: int) -> tuple[bool, Any]:
    """Run sh on the Mac, the script over stdin; its exit code as a bool, and its output."""
    # In braces, so that a link that is cut while the script is sent runs no part of it.
    ok, output = mac.host.run_shell_command(
        StringCommand("sh -s"),
        # pyinfra would print it as it comes, with the secrets in it.
        print_output=False,
        print_input=mac.state.print_input,
        _stdin=f"{{\n{script}\n}}\n",
        _timeout=timeout,
    )
    if not ok and is_lost(mac.host):
        raise EOFError("while a script ran")
    if mac.state.print_output:
        for line in output.output.splitlines():
            mac.say(mac.redacted(line))
    return ok, output


def last_lines(mac: run.MacRun, output: Any, count: int = 12) -> str:
    """The end of what a script printed, without secrets: its errors, else its output."""
    text = output.stderr.strip() or output.stdout.strip() or "it printed nothing"
    return mac.redacted("\n".join(text.splitlines()[-count:]))


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "replace")
