"""CNI, as a container runtime speaks it: a plugin is run in the node's namespace, and told of the pod's.

See the CNI specification, version 1.1.0, section 2.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from mignet.lab.dataplane.namespaces import CommandError

if TYPE_CHECKING:
    from pathlib import Path

    from mignet.lab.dataplane.namespaces import Namespace

Config = dict[str, Any]

VLAN_KEYS = ("vlan", "vlanTrunk", "preserveDefaultVlan")
"""What the bridge plugin does with tags; here, a VLAN is a fabric of its own."""


class PluginError(Exception):
    """What a plugin answered when it refused."""


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Whoever runs the plugins of the folder `plugins` on the node whose namespace is `node`."""

    plugins: Path
    node: Namespace

    def add(self, config: Config, *, container: str, pod: Namespace, interface: str) -> Config:
        """Attach a pod, and return the plugin's result: `interfaces` and `ips`. Raises PluginError."""
        answer: Config = json.loads(self._run("ADD", config, container=container, pod=pod, interface=interface))
        return answer

    def delete(self, config: Config, *, container: str, pod: Namespace, interface: str) -> None:
        """Detach a pod, and give back its addresses. Raises PluginError."""
        self._run("DEL", config, container=container, pod=pod, interface=interface)

    def _run(self, command: str, config: Config, *, container: str, pod: Namespace, interface: str) -> str:
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": pod.path,
            "CNI_IFNAME": interface,
            "CNI_PATH": str(self.plugins),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }
        program = str(self.plugins / str(config["type"]))
        try:
            return self.node.run(program, text=json.dumps(config), environment=environment)
        except CommandError as error:
            raise PluginError(_message(error)) from error


def stand_in(config: Config, ipam: Config) -> Config:
    """Return a NetworkAttachmentDefinition's configuration as this data plane can run it: another IPAM, and no tags."""
    return {key: value for key, value in config.items() if key not in VLAN_KEYS} | {"ipam": ipam}


def host_local(ipam: Config, books: Path) -> Config:
    """Return the configuration of `host-local` that gives addresses of the same slice as that of whereabouts.

    They are booked in the folder `books`. Of ranges without `exclude`: `range`, `range_start`, `range_end`; and its
    `routes`.
    """
    keys = (("range", "subnet"), ("range_start", "rangeStart"), ("range_end", "rangeEnd"))
    ranges = [[{new: one[old] for old, new in keys if old in one}] for one in ipam.get("ipRanges", [ipam])]
    return {"type": "host-local", "dataDir": str(books), "ranges": ranges} | _routes(ipam)


def static(addresses: list[str], ipam: Config) -> Config:
    """Return the configuration of `static` for addresses with their prefix lengths, with the routes of whereabouts'."""
    return {"type": "static", "addresses": [{"address": address} for address in addresses]} | _routes(ipam)


def _routes(ipam: Config) -> Config:
    return {"routes": ipam["routes"]} if ipam.get("routes") else {}


def _message(error: CommandError) -> str:
    try:
        answer = json.loads(error.output)
        return ": ".join(filter(None, [str(answer["msg"]), str(answer.get("details") or "")]))
    except (ValueError, KeyError, TypeError):
        return str(error)
