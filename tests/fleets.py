"""A fleet of many stacks on a lab: each has a namespace with a HyperConverged of its own. No product code."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml
from support import BIN, LIMITS, ROOT, Kube, Site, Workspace

from mignet.lab.lab import Lab


@dataclass
class FleetSpace:
    """A project folder with so many stacks, each in a namespace of the lab's cluster dev."""

    folder: Path
    lab: Lab
    prefix: str = "f"
    sites: dict[str, Site] = field(default_factory=dict)

    def create(self, count: int) -> None:
        self.folder.mkdir(parents=True)
        shutil.copy(ROOT / "__main__.py", self.folder)
        (self.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
        project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
        project["config"]["segment"]["default"] = {"subnet": "10.200.0.0/16", "vlan": 2001, "mtu": 9000}
        self.project(project)
        lab = yaml.safe_load(self.lab.kubeconfig.read_text())
        for entry in (*(each["cluster"] for each in lab["clusters"]), *(each["user"] for each in lab["users"])):
            for key in ("certificate-authority", "client-certificate", "client-key"):
                if key in entry:
                    entry[key] = str(self.lab.kubeconfig.parent / entry[key])
        # On one API server: a test of guards takes the definitions off the other one.
        context = "dev"
        kube = Kube(self.lab.kubeconfig, context)
        made: dict[str, Any] = lab | {"clusters": [], "contexts": []}
        # It names none of these contexts, and Pulumi's provider takes no kubeconfig whose own is not there.
        made.pop("current-context", None)
        for number in range(count):
            name = f"{self.prefix}{number:03}"
            self.sites[name] = Site(kube, self.kubeconfig, name, f"{self.prefix}-{name}")
            self.sites[name].create()
            source = next(each["context"] for each in lab["contexts"] if each["name"] == context)
            cluster = next(each["cluster"] for each in lab["clusters"] if each["name"] == source["cluster"])
            made["clusters"].append({"name": name, "cluster": dict(cluster)})
            made["contexts"].append({"name": name, "context": {"cluster": name, "user": source["user"]}})
            self.stack(name, number)
        self.kubeconfig.write_text(yaml.dump(made, Dumper=_Plain))

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def project(self, content: dict[str, Any]) -> None:
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(content))

    def waves(self, *waves: Sequence[str]) -> None:
        content = yaml.safe_load((self.folder / "Pulumi.yaml").read_text())
        content["config"]["waves"] = {"type": "array", "default": [list(wave) for wave in waves]}
        self.project(content)

    def stack(self, name: str, number: int) -> None:
        first = ip_address("10.200.0.16") + 100 * number
        values = {
            "cluster": {"context": name, "kubeconfig": str(self.kubeconfig), "namespace": f"{self.prefix}-{name}"},
            "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
            "slice": {"rangeStart": str(first), "rangeEnd": str(first + 99)},
            "hyperConverged": {"liveMigration": dict(LIMITS)},
        }
        config = {f"migration-network:{key}": value for key, value in values.items()}
        (self.folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))

    def elsewhere(self, addresses: dict[str, str]) -> None:
        """Give some stacks' clusters another address."""
        content = yaml.safe_load(self.kubeconfig.read_text())
        for each in content["clusters"]:
            if each["name"] in addresses:
                each["cluster"]["server"] = f"https://{addresses[each['name']]}"
        self.kubeconfig.write_text(yaml.dump(content, Dumper=_Plain))

    def remove(self) -> None:
        for site in self.sites.values():
            site.remove()

    @property
    def workspace(self) -> Workspace:
        """The way to run commands in the folder."""
        return Workspace(self.folder, next(iter(self.sites.values())))


class _Plain(yaml.SafeDumper):
    """Writes out what several entries share."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


@contextmanager
def silent_server() -> Iterator[str]:
    """Listen on an address, take every connection, and never say a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for each in taken:
                each.close()


def closed_port() -> str:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"
