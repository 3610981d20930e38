"""Probes of a checkup in network namespaces on one fabric, each run as a pod's container would run it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROBE = Path(__file__).parents[1] / "mignet" / "checkup" / "probe.py"
PORTS = (9185, 40001, 40002)


def why_not() -> str | None:
    """Return why no namespace can be made here, None when one can."""
    if shutil.which("ip") is None:
        return "the program ip (iproute2) is not installed"
    name = f"mt{uuid.uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def ip(*command: str, inside: str | None = None) -> str:
    where = ["-n", inside] if inside else []
    return subprocess.run(["ip", *where, *command], check=True, capture_output=True, text=True).stdout


@dataclass
class Fabric:
    """Hosts on one bridge, each a namespace with one interface `migration0`; the bridge has a namespace of its own."""

    folder: Path
    mtu: int = 9000
    name: str = field(default_factory=lambda: f"mt{uuid.uuid4().hex[:6]}")
    hosts: dict[str, str] = field(default_factory=dict)
    """Each host's namespace."""
    addresses: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    """The fabric's end of each host's link."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _running: list[subprocess.Popen[str]] = field(default_factory=list)

    def bridge(self, name: str) -> None:
        ip("link", "add", name, "mtu", str(self.mtu), "type", "bridge", inside=self.name)
        ip("link", "set", name, "up", inside=self.name)

    def host(self, name: str, address: str, *, bridge: str = "fabric", mtu: int | None = None) -> None:
        """Put a host on the fabric. `mtu` is that of the fabric's end: a link that is too small on the way."""
        number = next(self._numbers)
        inside = self.hosts[name] = f"{self.name}{number}"
        self.addresses[name] = address
        ip("netns", "add", inside)
        ip("link", "set", "lo", "up", inside=inside)
        end = self.ends[name] = f"p{number}"
        peer = ("peer", "name", end, "mtu", str(mtu or self.mtu), "netns", self.name)
        ip("link", "add", "migration0", "mtu", str(self.mtu), "netns", inside, "type", "veth", *peer)
        ip("link", "set", end, "master", bridge, "up", inside=self.name)
        # Not checked for duplicates: a second one of an address must be possible, and there is nobody to wait for it.
        nodad = ("nodad",) if ":" in address else ()
        ip("addr", "add", f"{address}/{64 if ':' in address else 24}", "dev", "migration0", *nodad, inside=inside)
        ip("link", "set", "migration0", "up", inside=inside)

    def mac(self, name: str) -> str:
        (link,) = json.loads(ip("-j", "link", "show", "migration0", inside=self.hosts[name]))
        return str(link["address"])

    def start(self, name: str, *, seconds: float = 30) -> tuple[subprocess.Popen[str], Path, Path]:
        """Start a host's probe; its targets and its result are files."""
        targets, result = self.folder / f"{name}-targets", self.folder / f"{name}-result"
        environment = {
            "MIGNET_TOKEN": f"t-{name}",
            "MIGNET_PORTS": ",".join(map(str, PORTS)),
            "MIGNET_SECONDS": str(seconds),
            "MIGNET_TARGETS": str(targets),
            "MIGNET_RESULT": str(result),
        }
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.hosts[name], sys.executable, "-c", PROBE.read_text()],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process, targets, result

    def target(self, name: str, **other: Any) -> dict[str, Any]:
        return {
            "address": self.addresses[name],
            "token": f"t-{name}",
            "mac": self.mac(name),
            "mtu": self.mtu,
            "ports": PORTS,
        } | other

    def measure(self, *names: str, seconds: float = 12, **more: Any) -> dict[str, dict[str, Any]]:
        """Let every one of these measure all others, and return what each says at its end."""
        names = names or tuple(self.hosts)
        started = {name: self.start(name) for name in names}
        for name, (_, path, _) in started.items():
            others = [other for other in names if other != name]
            content = {
                "address": self.addresses[name],
                "seconds": seconds,
                "sources": [f"t-{other}" for other in others],
                # Of every two, the one that comes first asks first.
                "targets": [self.target(other, first=names.index(name) < names.index(other)) for other in others],
            }
            new = path.with_suffix(".new")
            new.write_text(json.dumps(content | more))
            new.replace(path)
        found = {}
        for name, (process, _, result) in started.items():
            _, errors = process.communicate(timeout=60)
            assert not errors, errors
            text = result.read_text()
            assert len(text) <= 4096
            found[name] = json.loads(text)
        return found

    def clear(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        for each in (*self.hosts.values(), self.name):
            subprocess.run(["ip", "netns", "del", each], check=False, capture_output=True)


@contextlib.contextmanager
def fabric(folder: Path, **given: Any) -> Iterator[Fabric]:
    made = Fabric(folder, **given)
    ip("netns", "add", made.name)
    try:
        made.bridge("fabric")
        yield made
    finally:
        made.clear()
        assert made.name not in ip("netns", "list")
