"""Handlers of two clusters on one fabric, attached by the real plugins to what this project renders. No product code.

Sockets stand in for virt-handler: each is opened in the namespace of a pod, by this process.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import forked
import psutil
import yaml
from support import ROOT

from mignet.lab.dataplane import cni
from mignet.lab.dataplane.fabric import Fabric, Host, Port
from mignet.lab.dataplane.namespaces import Namespace

VLAN = 2001
INTERFACE = "migration0"
BRIDGE = "br-migration"
SYNC = 9185
PATIENCE = 20.0
"""Seconds for an answer that takes less than one of their thousandths."""

EXAMPLE = {
    "cniVersion": "0.3.1",
    "name": "migration-bridge",
    "type": "macvlan",
    "master": "eth1",
    "mode": "bridge",
    "ipam": {"type": "whereabouts", "range": "10.200.5.0/24"},
}
"""The published attachment: each cluster hands out the whole range, and knows nothing of the other."""

UDP, IP_HEADER = 8, 20
PROBE = 3
"""IP_PMTUDISC_PROBE: never a fragment, whatever was heard of the path."""


def render(folder: Path, changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the CNI configuration that mignet renders for each stack of this project, their files changed."""
    folder.mkdir()
    for name in ("Pulumi.yaml", "__main__.py"):
        (folder / name).write_text((ROOT / name).read_text())
    for stack in ("dev", "dev-peer"):
        content = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
        for key, value in changes.items():
            content["config"].pop(f"migration-network:{key}", None)
            if value is not None:
                content["config"][f"migration-network:{key}"] = value
        (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(content))
    done = forked.mignet("render", "--all", "-o", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = {}
    for stack in ("dev", "dev-peer"):
        documents = yaml.safe_load_all((folder / "out" / f"{stack}.yaml").read_text())
        attachment = next(each for each in documents if each["kind"] == "NetworkAttachmentDefinition")
        found[stack] = json.loads(attachment["spec"]["config"])
    return found


@dataclass
class Handler:
    """A pod on a node: where virt-handler would be."""

    name: str
    node: Host
    space: Namespace
    config: dict[str, Any]
    runtime: cni.Runtime
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return str(ip_interface(self.result["ips"][0]["address"]).ip)

    @property
    def mtu(self) -> int:
        (link,) = json.loads(self.space.run("ip", "-json", "link", "show", INTERFACE))
        return int(link["mtu"])

    def attach(self) -> None:
        self.result = self.runtime.add(self.config, container=self.name, pod=self.space, interface=INTERFACE)

    def detach(self) -> None:
        self.runtime.delete(self.config, container=self.name, pod=self.space, interface=INTERFACE)

    def listener(self, port: int) -> socket.socket:
        """Return a socket that listens; port 0 is any high one."""

        def listen() -> socket.socket:
            one = socket.create_server((self.address, port))
            one.settimeout(PATIENCE)
            return one

        return self.space.inside(listen)

    def connect(self, address: str, port: int, *, patience: float = PATIENCE) -> socket.socket:
        return self.space.inside(lambda: socket.create_connection((address, port), patience, (self.address, 0)))

    def datagrams(self) -> socket.socket:
        """Return a UDP socket of this handler that never lets a packet be fragmented."""

        def bind() -> socket.socket:
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.setsockopt(socket.IPPROTO_IP, socket.IP_MTU_DISCOVER, PROBE)
            one.bind((self.address, 0))
            one.settimeout(PATIENCE)
            return one

        return self.space.inside(bind)


socket.IP_MTU_DISCOVER = 10  # type: ignore[attr-defined] # since Python 3.14 it has a name


def carried(source: Handler, target: Handler, *sizes: int) -> list[int]:
    """Return which IP packets of these sizes, in bytes, arrive whole: a small one is sent last, and is waited for."""
    with contextlib.closing(source.datagrams()) as out, contextlib.closing(target.datagrams()) as into:
        for size in (*sizes, 100):
            out.sendto(b"." * (size - UDP - IP_HEADER), into.getsockname())
        arrived = []
        while (size := len(into.recv(65536)) + UDP + IP_HEADER) != 100:
            arrived.append(size)
        return arrived


def reaches(source: Handler, target: Handler, port: int, *, patience: float = PATIENCE) -> bool:
    """Whether a new TCP connection carries something there and back; `port` 0 is any high one."""
    with contextlib.closing(target.listener(port)) as listener:
        try:
            with contextlib.closing(source.connect(*listener.getsockname()[:2], patience=patience)) as one:
                other, _ = listener.accept()
                with contextlib.closing(other):
                    one.sendall(b"there")
                    assert other.recv(5) == b"there"
                    other.sendall(b"back.")
                    return one.recv(5) == b"back."
        except OSError:
            return False


def cut_off(source: Handler, target: Handler, port: int) -> bool:
    """Whether a connection gets no answer: half a second is a thousand times what one takes."""
    return not reaches(source, target, port, patience=0.5)


class Wired:
    """A fabric with nodes of two clusters."""

    def __init__(self, plugins: Path, books: Path) -> None:
        self.fabric = Fabric()
        self.nodes: dict[str, list[Host]] = {}
        self.handlers: dict[str, list[Handler]] = {}
        self._plugins = plugins
        self._books = books

    def cluster(self, name: str, nodes: int, config: dict[str, Any]) -> None:
        """Give a cluster its nodes, each with what the configuration attaches to on the VLAN, and a handler."""
        self.nodes[name] = [Host(self.fabric) for _ in range(nodes)]
        self.handlers[name] = []
        for number, node in enumerate(self.nodes[name]):
            if config["type"] == "bridge":
                node.plug("eth1", Port(vlan=VLAN))
                node.space.ip(f"link add name {BRIDGE} mtu 9000 type bridge", f"link set eth1 master {BRIDGE}")
                node.space.ip(f"link set {BRIDGE} up")
            else:
                node.plug(config["master"], Port(vlan=VLAN))
            self.handlers[name].append(self.handler(f"{name}-{number}", node, config))

    def handler(self, name: str, node: Host, config: dict[str, Any]) -> Handler:
        # One book a cluster, as whereabouts keeps it.
        books = self._books / name.rpartition("-")[0]
        runnable = cni.stand_in(config, cni.host_local(config["ipam"], books))
        return Handler(name, node, Namespace(), runnable, cni.Runtime(self._plugins, node.space))

    def attach(self) -> None:
        for handlers in self.handlers.values():
            for handler in handlers:
                handler.attach()

    @contextlib.contextmanager
    def disturbed(self, node: Host, **changes: Any) -> Iterator[None]:
        """Have something wrong with the ports of a node."""
        node.disturb(**changes)
        yield
        node.disturb()

    def close(self) -> None:
        for handlers in self.handlers.values():
            for handler in handlers:
                if handler.result:
                    handler.detach()
                handler.space.close()
        for nodes in self.nodes.values():
            for node in nodes:
                node.close()
        self.fabric.close()


def traces() -> dict[str, Any]:
    """Return what this process and the machine hold of this data plane: when a test is over, all is to be as before.

    Others may be at work on the machine: what no data plane of ours makes does not count.
    """
    here = Path("/proc/self/ns/net").readlink()
    held, elsewhere = [], []
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held.append(str(file.readlink()))
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child.pid}/ns/net").readlink() != here:
                elsewhere.append(child.name())
    interfaces = [each.name for each in Path("/sys/class/net").iterdir()]
    return {
        "interfaces": sorted(each for each in interfaces if each.startswith(("port", "vlan", INTERFACE))),
        "held namespaces": sorted(each for each in held if each.startswith("net:")),
        "children in other namespaces": elsewhere,
    }
