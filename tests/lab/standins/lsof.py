"""``lsof``: TCP sockets of this Mac's processes; without root only the caller's own."""

from __future__ import annotations

import os
import re
import socket
import sys

from tests.lab.standins.here import complain, mac
from tests.lab.standins.running import Process, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.lab.spec import MacSpec

_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RCVD",
    4: "FIN_WAIT_1",
    5: "FIN_WAIT_2",
    6: "TIME_WAIT",
    7: "CLOSED",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
}
_USAGE = "lsof: WARNING: -i wants [46][protocol][@hostname|hostaddr][:service|port]\n"
_USAGE += (
    " usage: [-?abhlnNoOPRtUvVX] [+|-c c] [+|-d s] [+|-f[cgG]] [-F [f]] [-i [i]] [-p s] [-s [p:s]]"
)


class Socket:
    """One TCP socket; the ends are address and port."""

    def __init__(
        self,
        inode: str,
        family: str,
        local: tuple[str, int],
        remote: tuple[str, int],
        state: str,
    ) -> None:
        self.inode, self.family, self.state = inode, family, state
        self.local, self.remote = local, remote


class Open:
    """A socket in the hands of a process."""

    def __init__(self, process: Process, descriptor: int, socket: Socket) -> None:
        self.process, self.descriptor, self.socket = process, descriptor, socket


class Wish:
    """What one call asks for; ValueError for what this lsof does not know."""

    def __init__(self, argv: list[str]) -> None:
        self.terse = self.numeric_ports = self.numeric_hosts = False
        self.ports: set[int] | None = None
        self.protocol_known, self.network = True, False
        self.states: set[str] = set()
        self.pids: set[int] | None = None
        self.both = False
        self.fields: str | None = None
        words = list(argv)
        while words:
            word = words.pop(0)
            if not word.startswith("-"):
                raise ValueError(word)
            rest = word[1:]
            while rest:
                letter, rest = rest[0], rest[1:]
                if letter in "isp" and not rest and words and not words[0].startswith("-"):
                    rest = words.pop(0)
                if letter == "i":
                    self._address(rest)
                    rest = ""
                elif letter == "s":
                    self.states |= set(rest.partition(":")[2].upper().split(","))
                    rest = ""
                elif letter == "p":
                    self.pids = {int(pid) for pid in rest.split(",")}
                    rest = ""
                elif letter == "F":
                    self.fields, rest = rest or "pcfn", ""
                elif letter in "tPnalwbRO":
                    self.terse = self.terse or letter == "t"
                    self.numeric_ports = self.numeric_ports or letter == "P"
                    self.numeric_hosts = self.numeric_hosts or letter == "n"
                    self.both = self.both or letter == "a"
                else:
                    raise ValueError(letter)

    def _address(self, text: str) -> None:
        self.network = True
        match = re.fullmatch(r"[46]?(TCP|tcp|UDP|udp)?(@[^:]+)?(?::([\d,\-]+))?", text)
        if not match:
            raise ValueError(text)
        self.protocol_known = (match[1] or "TCP").upper() == "TCP"
        for part in (match[3] or "").split(","):
            if part:
                low, _, high = part.partition("-")
                found = range(int(low), int(high or low) + 1)
                self.ports = (self.ports or set()) | set(found)

    def wants(self, one: Open) -> bool:
        """Whether the call selects that socket."""
        tcp = one.socket
        if self.ports is not None and not self.ports & {tcp.local[1], tcp.remote[1]}:
            return False
        if self.states and tcp.state not in self.states:
            return False
        return self.pids is None or one.process.pid in self.pids


def end(text: str) -> tuple[str, int]:
    """Address and port of ``0100007F:1F90``."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words)), int(port, 16)


def sockets() -> dict[str, Socket]:
    """All TCP sockets of this network by inode."""
    found = {}
    for name, family in (("tcp", "IPv4"), ("tcp6", "IPv6")):
        try:
            with open(f"/proc/self/net/{name}", encoding="ascii") as file:
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            words = line.split()
            state = _STATES.get(int(words[3], 16), "UNKNOWN")
            found[words[9]] = Socket(words[9], family, end(words[1]), end(words[2]), state)
    return found


def opened(spec: MacSpec) -> list[Open]:
    """Every TCP socket that a visible process holds, by pid and descriptor."""
    known, found = sockets(), []
    for process in processes(spec):
        try:
            descriptors = os.listdir(f"/proc/{process.real_pid}/fd")
        except OSError:
            continue
        for number in sorted(int(name) for name in descriptors):
            try:
                target = os.readlink(f"/proc/{process.real_pid}/fd/{number}")
            except OSError:
                continue
            one = known.get(target.removeprefix("socket:[").removesuffix("]"))
            if target.startswith("socket:[") and one:
                found.append(Open(process, number, one))
    return found


def place(wish: Wish, where: tuple[str, int]) -> str:
    """``127.0.0.1:8080`` as the options want it written."""
    host, port = where
    if host in ("0.0.0.0", "::"):
        host = "*"
    elif not wish.numeric_hosts and host in ("127.0.0.1", "::1"):
        host = "localhost"
    elif ":" in host:
        host = f"[{host}]"
    return f"{host}:{port}"


def table(wish: Wish, rows: list[Open]) -> str:
    """The lines of the long form."""
    heads = ["COMMAND", "PID", "USER", "FD", "TYPE", "DEVICE", "SIZE/OFF", "NODE", "NAME"]
    lines = [heads]
    for one in rows:
        process, descriptor, tcp = one.process, one.descriptor, one.socket
        name = place(wish, tcp.local)
        if tcp.state != "LISTEN":
            name += "->" + place(wish, tcp.remote)
        device = f"0x{int(tcp.inode):016x}"
        line = [process.name[:9], str(process.pid), process.user, f"{descriptor}u", tcp.family]
        lines.append([*line, device, "0t0", "TCP", f"{name} ({tcp.state})"])
    wide = [max(len(line[i]) for line in lines) for i in range(8)]
    text = ""
    for line in lines:
        # A descriptor's letter and its lock have a column each behind the number.
        number, letter = (line[3], " ") if line is heads else (line[3][:-1], line[3][-1])
        cells = [line[0].ljust(wide[0]), line[1].rjust(wide[1]), line[2].rjust(wide[2])]
        cells.append(f"{number:>4}{letter} ")
        cells += [line[i].rjust(wide[i]) for i in (4, 5, 6, 7)]
        text += " ".join([*cells, line[8]]) + "\n"
    return text


def main(argv: list[str]) -> int:
    """Exit code 1 when nothing was found."""
    try:
        wish = Wish(argv)
    except ValueError as error:
        complain(f"lsof: unacceptable here: {error}\n{_USAGE}")
        return 1
    rows = [one for one in opened(mac()) if wish.wants(one)] if wish.protocol_known else []
    if not rows:
        return 1
    if wish.terse:
        # Each process once, even with the port open twice.
        pids = dict.fromkeys(one.process.pid for one in rows)
        sys.stdout.write("".join(f"{pid}\n" for pid in pids))
    elif wish.fields is not None:
        for one in rows:
            process, descriptor, tcp = one.process, one.descriptor, one.socket
            text = {"p": f"p{process.pid}", "c": f"c{process.name}", "f": f"f{descriptor}"}
            text["n"] = f"n{place(wish, tcp.local)}"
            sys.stdout.write("".join(f"{text[key]}\n" for key in wish.fields if key in text))
    else:
        sys.stdout.write(table(wish, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
