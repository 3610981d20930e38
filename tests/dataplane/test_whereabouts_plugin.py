"""The real whereabouts on the lab's API servers, one book a cluster, gives handlers what the rendered slices say.

`MIGNET_WHEREABOUTS` names the plugin. It is run on its own, in this machine's namespace, where the API servers are; the
plugins macvlan and bridge get its addresses through `static`.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from wired import EXAMPLE, SYNC, Handler, Wired, reaches

from mignet.lab.dataplane import cni
from mignet.lab.lab import Lab

PLUGIN = os.environ.get("MIGNET_WHEREABOUTS", "")
pytestmark = pytest.mark.skipif(not PLUGIN, reason="MIGNET_WHEREABOUTS does not name the whereabouts plugin")


@dataclass
class Books:
    """whereabouts of one cluster."""

    file: Path
    """What the plugin reads beside the attachment's configuration: on a node, the installation writes it."""

    def call(self, command: str, handler: Handler, config: dict[str, Any]) -> dict[str, Any]:
        ipam = config["ipam"] | {"configuration_path": str(self.file)}
        asked = {"cniVersion": config["cniVersion"], "name": config["name"], "type": "whereabouts", "ipam": ipam}
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": handler.name,
            "CNI_NETNS": handler.space.path,
            "CNI_IFNAME": "migration0",
            "CNI_PATH": str(Path(PLUGIN).parent),
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=openshift-cnv;K8S_POD_NAME={handler.name}",
        }
        done = subprocess.run(
            [PLUGIN], input=json.dumps(asked), env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found


@pytest.fixture(scope="module")
def books(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Books]:
    """Each cluster's whereabouts, with a kubeconfig of its own."""
    found = {}
    for cluster in lab.clusters:
        content = yaml.safe_load(lab.kubeconfig.read_text()) | {"current-context": cluster}
        for entry in (*(each["cluster"] for each in content["clusters"]), *(each["user"] for each in content["users"])):
            for key in ("certificate-authority", "client-certificate", "client-key"):
                if key in entry:
                    entry[key] = str(lab.kubeconfig.parent / entry[key])
        folder = tmp_path_factory.mktemp("whereabouts")
        (folder / "kubeconfig").write_text(yaml.safe_dump(content))
        (folder / "conf").write_text(json.dumps({"kubernetes": {"kubeconfig": str(folder / "kubeconfig")}}))
        found[cluster] = Books(folder / "conf")
    return found


@pytest.fixture
def addressed(
    books: dict[str, Books], wire: Callable[..., Wired]
) -> Iterator[Callable[[dict[str, dict[str, Any]]], Wired]]:
    """Attach handlers with addresses of the real plugin, and give those back in the end."""
    held: list[tuple[Books, Handler, dict[str, Any]]] = []

    def attach(configs: dict[str, dict[str, Any]]) -> Wired:
        fleet = wire(configs, attached=False)
        for cluster, handlers in fleet.handlers.items():
            for handler in handlers:
                given = books[cluster].call("ADD", handler, configs[cluster])
                held.append((books[cluster], handler, configs[cluster]))
                handler.config = cni.stand_in(configs[cluster], cni.static([each["address"] for each in given["ips"]]))
                handler.attach()
        return fleet

    yield attach
    for book, handler, config in held:
        book.call("DEL", handler, config)


@pytest.mark.parametrize("kind", ["macvlan", "bridge"])
def test_rendered_slices_give_each_handler_an_address_of_its_own_on_which_all_others_reach_it(
    kind: str, rendered: Callable[[str], dict[str, dict[str, Any]]], addressed: Callable[..., Wired]
) -> None:
    fleet = addressed(rendered(kind))
    given = {name: [handler.address for handler in handlers] for name, handlers in fleet.handlers.items()}
    assert given == {"dev": ["10.200.5.10", "10.200.5.11"], "dev-peer": ["10.200.5.61", "10.200.5.62"]}
    for source, target in product(*fleet.handlers.values()):
        assert reaches(source, target, SYNC)
        assert reaches(target, source, 0)


def test_the_example_in_two_clusters_gives_every_address_twice(addressed: Callable[..., Wired]) -> None:
    fleet = addressed({"dev": EXAMPLE, "dev-peer": EXAMPLE})
    given = [[handler.address for handler in handlers] for handlers in fleet.handlers.values()]
    assert given == [["10.200.5.1", "10.200.5.2"]] * 2
