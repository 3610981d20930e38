"""The probe: runs in a pod, measures the ways from it to its targets, and answers those who measure it.

It is handed over as text (`python3 -c`), so it is one file, of the standard library of Python 3.9 or newer only, and
needs no privilege: no raw sockets. Environment: `MIGNET_TOKEN` says who it is, `MIGNET_PORTS` where it listens (first
9185), and `MIGNET_SECONDS` when it ends by itself. It waits for the file `MIGNET_TARGETS` (JSON: its `address`,
`seconds` to measure within, the tokens of the `sources` that measure it, `targets`), and writes what it found to
`MIGNET_RESULT`, in at most 4096 bytes; reports.py says what its short names mean.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any

INTERFACE = os.environ.get("MIGNET_INTERFACE", "migration0")
MOST_BYTES = 4000
SMALL = 64
TCP_SECONDS = 4.0
UDP_WAITS = (0.25, 0.5, 1.0)
WORKERS = 32
GREET_SECONDS = 0.3
GREETED_SECONDS = 3.0
STREAM_SECONDS = 2.0
BULK = 256 * 1024
BULK_SECONDS = 3.0


class Interface:
    """What the kernel says of migration0; every part is None when it is not there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.there = name in [each for _, each in socket.if_nameindex()]
        mtu = self._ask(0x8921)
        self.mtu = struct.unpack_from("i", mtu, 16)[0] if mtu else None
        flags = self._ask(0x8913)
        # IFF_RUNNING: up, and with a carrier as far as this kind of interface knows.
        self.running = bool(struct.unpack_from("H", flags, 16)[0] & 0x40) if flags else None

    def _ask(self, request: int) -> bytes | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                return fcntl.ioctl(asking.fileno(), request, struct.pack("256s", self.name.encode()[:15]))
            except OSError:
                return None

    def addresses(self) -> list[str]:
        """Return its addresses that others can reach, the first of IPv4 and those of IPv6."""
        first = self._ask(0x8915)
        found = [socket.inet_ntoa(first[20:24])] if first else []
        return found + [address for address, scope, _ in self._ipv6() if scope == 0]

    def duplicates(self) -> list[str]:
        """Return the IPv6 addresses that the kernel found in use by somebody else (duplicate address detection)."""
        return [address for address, _, flags in self._ipv6() if flags & 0x08]

    def _ipv6(self) -> list[tuple[str, int, int]]:
        found = []
        with contextlib.suppress(OSError), open("/proc/net/if_inet6") as lines:
            for line in lines:
                digits, _, _, scope, flags, name = line.split()
                if name == self.name:
                    address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
                    found.append((address, int(scope, 16), int(flags, 16)))
        return found


def opened(address: str, kind: socket.SocketKind, port: int = 0) -> socket.socket:
    """Return a socket at one of our addresses, which uses migration0 whatever the routes say, where that is allowed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
        if port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if kind == socket.SOCK_DGRAM:
            # Never fragment, and mind no path MTU that was learned before: 3 is IP_PMTUDISC_PROBE.
            level, option = (socket.IPPROTO_IPV6, 23) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 10)
            made.setsockopt(level, option, 3)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, 62, 1)  # IPV6_DONTFRAG
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


class Listener:
    """Answers on all ports: over TCP with the token, or counts a stream; over UDP with what came."""

    def __init__(self, token: str, ports: list[int]) -> None:
        self.token = token
        self.ports = ports
        self.at: set[str] = set()
        self.done: set[str] = set()
        self.greeted: set[str] = set()
        self.changed = threading.Condition()

    def open(self, address: str) -> None:
        """Listen at one of our addresses; an IPv6 address may still be checked for duplicates by the kernel."""
        deadline = time.monotonic() + 5
        while address not in self.at:
            listening = []
            try:
                listening += [opened(address, socket.SOCK_STREAM, port) for port in self.ports]
                echoing = opened(address, socket.SOCK_DGRAM, self.ports[-1])
            except OSError:
                for each in listening:
                    each.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            self.at.add(address)
            for each in listening:
                each.listen(128)
                self._thread(self._accept, each)
            self._thread(self._echo, echoing)

    def _thread(self, work: Any, *given: object) -> None:
        threading.Thread(target=work, args=given, daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                continue
            self._thread(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.settimeout(10)
            peer.sendall(self.token.encode() + b"\n")
            begun, count = None, 0
            while chunk := peer.recv(65536):
                begun = begun or time.monotonic()
                count += len(chunk)
            if begun:
                peer.sendall(json.dumps([count, time.monotonic() - begun]).encode())

    def _echo(self, talking: socket.socket) -> None:
        while True:
            with contextlib.suppress(OSError):
                data, peer = talking.recvfrom(65536)
                word, _, token = data.partition(b" ")
                told = {b"done": self.done, b"hello": self.greeted}.get(word)
                if told is not None:
                    with self.changed:
                        told.add(token.decode("ascii", "replace"))
                        self.changed.notify_all()
                talking.sendto(data, peer)

    def wait_for(self, sources: set[str], deadline: float) -> None:
        """Wait until all of these have said that they are done, at most until the deadline."""
        with self.changed:
            self.changed.wait_for(lambda: sources <= self.done, max(deadline - time.monotonic(), 0))

    def wait_for_hello(self, source: str, deadline: float) -> None:
        """Wait until this one has said hello, at most until the deadline."""
        with self.changed:
            self.changed.wait_for(lambda: source in self.greeted, max(deadline - time.monotonic(), 0))


class Way:
    """The way to one target, and what is found of it."""

    def __init__(self, mine: str, token: str, target: dict[str, Any], deadline: float) -> None:
        self.mine = mine
        self.token = token
        self.deadline = deadline
        self.address: str = target["address"]
        self.theirs: str = target["token"]
        self.mac: str | None = target.get("mac")
        self.mtu: int | None = target.get("mtu")
        self.routed: bool = target.get("routed", False)
        self.ports: list[int] = target["ports"]
        self.header = 48 if ":" in self.address else 28
        self.answered: list[int] = []
        self.blocked: list[int] = []
        self.other: str | None = None
        self.errors: set[str] = set()
        self.rtt: float | None = None
        self.first: bool = target.get("first", True)
        self.seen: str | None = None

    def measure(self, stream: float = 0) -> dict[str, Any] | int:
        """Return what was found: the round-trip time in microseconds, or more where it is not as it should be."""
        tries = [threading.Thread(target=self._connect, args=(port,), daemon=True) for port in self.ports]
        for each in tries:
            each.start()
        # Over UDP at the same time: it shows a way where TCP is blocked, and times it.
        echoes = self._echoes()
        for each in tries:
            each.join()
        path = self._path_mtu() if echoes else None
        found: dict[str, Any] = {}
        if self.blocked:
            found["p"] = sorted(self.blocked)
            found["e"] = sorted(self.errors)
        if self.other is not None:
            found["w"] = self.other
        seen = self.seen or neighbour(self.address)
        if seen and self.mac and seen != self.mac.lower():
            found["a"] = seen
        if self.blocked and (seen or echoes):
            found["l"] = 1
        if not echoes and self.answered:
            found["u"] = 1
        if path is not None and path != self.mtu:
            found["m"] = path
        if self.routed and self.answered and not self._carries():
            found["b"] = 1
        if stream and self.answered:
            found["s"] = self._stream(stream)
        if self.rtt is not None and found:
            found["t"] = round(self.rtt * 1e6)
        return found if found or self.rtt is None else round(self.rtt * 1e6)

    def _connect(self, port: int) -> None:
        begun, error = time.monotonic(), "timeout"
        until = min(begun + TCP_SECONDS, self.deadline)
        while time.monotonic() < until:
            try:
                with opened(self.mine, socket.SOCK_STREAM) as trying:
                    trying.settimeout(max(until - time.monotonic(), 0.05))
                    started = time.monotonic()
                    trying.connect((self.address, port))
                    self._timed(time.monotonic() - started)
                    token = trying.recv(64).decode("ascii", "replace").strip()
                self.answered.append(port)
                if token != self.theirs:
                    self.other = token[:32]
                return
            except ConnectionRefusedError:
                # Its probe may be a moment behind ours.
                error = "refused"
                time.sleep(0.1)
            except socket.timeout:
                error = "timeout"
            except OSError as failure:
                error = os.strerror(failure.errno) if failure.errno else str(failure)
                time.sleep(0.1)
        self.blocked.append(port)
        self.errors.add(error[:40])

    def _timed(self, seconds: float) -> None:
        self.rtt = seconds if self.rtt is None else min(self.rtt, seconds)

    def _echoes(self) -> int:
        heard = 0
        for wait in (*UDP_WAITS, 1.0):
            heard += self._echo(SMALL, wait)
            if heard == 3 or time.monotonic() > self.deadline:
                break
        return heard

    def _echo(self, size: int, wait: float) -> bool:
        """Send one packet of `size` bytes, with its headers, and tell whether it came back whole."""
        marked = os.urandom(8)
        data = marked + bytes(max(size - self.header - 8, 0))
        with contextlib.suppress(OSError), opened(self.mine, socket.SOCK_DGRAM) as talking:
            started = time.monotonic()
            talking.sendto(data, (self.address, self.ports[-1]))
            while (left := started + wait - time.monotonic()) > 0:
                talking.settimeout(left)
                came, _ = talking.recvfrom(65536)
                if came == data:
                    if size == SMALL:
                        self._timed(time.monotonic() - started)
                    return True
        return False

    def _passes(self, size: int) -> bool:
        return any(self._echo(size, wait) for wait in UDP_WAITS)

    def _path_mtu(self) -> int | None:
        """Return the most bytes that go there and back unfragmented, up to the declared MTU."""
        if self.mtu is None or self._passes(self.mtu):
            return self.mtu
        # A packet that was lost by chance is no small MTU: as often again, once the small one is known to pass.
        if self._passes(SMALL) and self._passes(self.mtu):
            return self.mtu
        low, high = SMALL, self.mtu
        for likely in (1500, 1450, 4000, 8900):
            if low < likely < high and time.monotonic() < self.deadline:
                if not self._twice(likely):
                    high = likely
                elif not self._twice(likely + 1):
                    return likely
                else:
                    low = likely + 1
        while high - low > 1 and time.monotonic() < self.deadline:
            middle = (low + high) // 2
            low, high = (middle, high) if self._twice(middle) else (low, middle)
        return low

    def _twice(self, size: int) -> bool:
        return self._echo(size, 0.25) or self._echo(size, 0.5)

    def _carries(self) -> bool:
        """Tell whether packets as large as our side makes them arrive: a router may drop them without a word."""
        for _ in range(2):
            if time.monotonic() > self.deadline:
                return True
            with contextlib.suppress(OSError, ValueError), opened(self.mine, socket.SOCK_STREAM) as sending:
                sending.settimeout(BULK_SECONDS)
                sending.connect((self.address, self.answered[-1]))
                sending.recv(64)
                sending.sendall(bytes(BULK))
                sending.shutdown(socket.SHUT_WR)
                if json.loads(sending.recv(100))[0] == BULK:
                    return True
        return False

    def _stream(self, most: float) -> float | None:
        """Send for two seconds, at most so many Mbit/s; return how many arrived."""
        chunk, sent, begun = bytes(65536), 0, time.monotonic()
        with contextlib.suppress(OSError, ValueError), opened(self.mine, socket.SOCK_STREAM) as sending:
            sending.settimeout(5)
            sending.connect((self.address, self.answered[-1]))
            sending.recv(64)
            while (spent := time.monotonic() - begun) < STREAM_SECONDS:
                ahead = sent * 8 / (most * 1e6) - spent
                if ahead > 0:
                    time.sleep(min(ahead, 0.1))
                    continue
                sending.sendall(chunk)
                sent += len(chunk)
            sending.shutdown(socket.SHUT_WR)
            count, seconds = json.loads(sending.recv(100))
            return float(round(count * 8 / max(seconds, 0.001) / 1e6, 1))
        return None

    def bye(self) -> None:
        """Tell the target that nobody waits for its answers any more."""
        for wait in UDP_WAITS:
            with contextlib.suppress(OSError), opened(self.mine, socket.SOCK_DGRAM) as talking:
                talking.settimeout(wait)
                talking.sendto(b"done " + self.token.encode(), (self.address, self.ports[-1]))
                talking.recv(64)
                return


def greet(ways: list[Way], token: str) -> None:
    """Say hello to targets, and note which MAC answers for each.

    Whom we ask first is asked by a broadcast, which a second machine with that address answers, too; one that has asked
    us is known already, by its own MAC. So of every two, one waits for the other's hello.
    """
    for _ in range(2):
        for way in ways:
            with contextlib.suppress(OSError), opened(way.mine, socket.SOCK_DGRAM) as talking:
                if way.seen is None:
                    talking.sendto(b"hello " + token.encode(), (way.address, way.ports[-1]))
        until = time.monotonic() + GREET_SECONDS
        while time.monotonic() < until and any(way.seen is None for way in ways):
            for way in ways:
                way.seen = way.seen or neighbour(way.address)
            time.sleep(0.01)


def neighbour(address: str) -> str | None:
    """Return the MAC that our side knows for an IPv4 address on its own network; None when it knows none."""
    with contextlib.suppress(OSError), open("/proc/net/arp") as lines:
        for line in lines:
            parts = line.split()
            if parts[0] == address and parts[5] == INTERFACE and int(parts[2], 16) & 0x2:
                return parts[3].lower()
    return None


def targets_file(path: str, deadline: float) -> dict[str, Any] | None:
    """Wait for the file to say whom to measure, and return what it says; None when it never does."""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            content: dict[str, Any] = json.load(file)
            if content.get("address"):
                return content
        time.sleep(0.05)
    return None


def compact(found: dict[str, Any]) -> str:
    """Return it as JSON that fits: what matters least is left away first."""
    text = json.dumps(found, separators=(",", ":"))
    for drop in ("e", "t", "u", "s"):
        if len(text) <= MOST_BYTES:
            break
        for each in found["r"]:
            if isinstance(each, dict):
                each.pop(drop, None)
        text = json.dumps(found, separators=(",", ":"))
    return text


def main() -> None:
    """Listen, wait for targets, measure, wait for those who measure us, and say what was found."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    begun = time.monotonic()
    deadline = begun + float(os.environ["MIGNET_SECONDS"])
    token, ports = os.environ["MIGNET_TOKEN"], [int(each) for each in os.environ["MIGNET_PORTS"].split(",")]
    interface, listener = Interface(INTERFACE), Listener(token, ports)
    # At once, not with the targets: somebody else may have theirs before us.
    with contextlib.suppress(OSError):
        for each in interface.addresses():
            listener.open(each)
    wanted = targets_file(os.environ.get("MIGNET_TARGETS", "/etc/mignet/targets"), deadline)
    # As it is now: a carrier may have gone meanwhile.
    interface = Interface(INTERFACE)
    result: dict[str, Any] = {"v": 1, "i": int(interface.there), "n": interface.mtu, "k": interface.running, "r": []}
    if wanted:
        try:
            listener.open(wanted["address"])
        except OSError as error:
            result["x"] = f"cannot listen on {wanted['address']}: {error.strerror}"
        else:
            result["r"] = measure_all(wanted, token, listener, min(deadline, time.monotonic() + wanted["seconds"]))
        result["d"] = interface.duplicates()
    text = compact(result)
    with open(os.environ.get("MIGNET_RESULT", "/dev/termination-log"), "w") as file:
        file.write(text)


def measure_all(wanted: dict[str, Any], token: str, listener: Listener, deadline: float) -> list[Any]:
    """Measure all targets, some at a time; return what was found of each in order, None where there was no time."""
    ways = [Way(wanted["address"], token, each, deadline) for each in wanted["targets"]]
    stream = wanted.get("throughput", 0)

    greet([way for way in ways if way.first], token)
    late = min(deadline, time.monotonic() + GREETED_SECONDS)

    def one(way: Way) -> dict[str, Any] | int | None:
        if not way.first:
            listener.wait_for_hello(way.theirs, late)
        if time.monotonic() > deadline:
            return None
        return way.measure(stream if way is ways[wanted.get("stream", 0)] else 0)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        # Those that need not wait go first; what is found is in the order of the targets.
        running = {way: pool.submit(one, way) for way in sorted(ways, key=lambda way: not way.first)}
        found = [running[way].result() for way in ways]
        list(pool.map(Way.bye, [way for way in ways if way.rtt is not None]))
    # Whom we cannot reach at all cannot reach us either, and cannot say so.
    lost = {way.theirs for way in ways if way.rtt is None}
    listener.wait_for(set(wanted["sources"]) - lost, deadline)
    return found


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
