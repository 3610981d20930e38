"""Two stacks of different sites on the lab's data plane: every verb, with the lab's router between the two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from operated import ATTACHMENTS, Operated, until

from mignet.lab.dataplane import namespaces
from mignet.lab.lab import Lab
from mignet.lab.seeding.definitions import SLIM

REASON = namespaces.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no data plane: {REASON}")

NETWORK = "my-secondary-network"
ROUTES = {"dev": {"dst": "10.200.0.0/16", "gw": "10.200.5.1"}, "dev-peer": {"dst": "10.200.0.0/16", "gw": "10.200.6.1"}}
SEGMENT = {
    "supernet": "10.200.0.0/16",
    "mtu": 8000,
    "sites": {
        "east": {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1", "mtu": 8000},
        "west": {"subnet": "10.200.6.0/24", "gateway": "10.200.6.1", "mtu": 8000},
    },
}
WORKERS = ("--nodes", "*worker*")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A lab with a data plane, its two stacks in two sites, with nothing applied."""
    folder = tmp_path_factory.mktemp("sites")
    lab = Lab(folder / "lab", crds=SLIM, dataplane=True)
    try:
        lab.up(lambda _: None)
        one = Operated(lab, folder / "project")
        one.create()
        write(one, SEGMENT)
        for stack, site in (("dev", "east"), ("dev-peer", "west")):
            one.change(stack, site=site, slice=None)
        yield one
    finally:
        lab.down()


def write(sites: Operated, segment: dict[str, Any]) -> None:
    path = sites.folder / "Pulumi.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["segment"]["default"] = segment
    path.write_text(yaml.safe_dump(content))


def ran(sites: Operated, *command: str, code: int = 0) -> str:
    outcome = sites.run(*command)
    assert outcome.code == code, f"{command}: {outcome.out}{outcome.err}"
    return outcome.out


def attached(sites: Operated) -> dict[str, Any]:
    return {each.name: json.loads(each.get(f"{ATTACHMENTS}/{NETWORK}")["spec"]["config"]) for each in sites.clusters}


def test_every_verb_works_on_two_stacks_of_different_sites(sites: Operated) -> None:
    ran(sites, "allocate", "dev", "dev-peer", "--headroom", "300")
    assert "no problems" in ran(sites, "check")
    assert "10.200.6.0/24" in ran(sites, "plan-addresses")
    ran(sites, "preflight", "--all")
    assert '"routes":[{"dst":"10.200.0.0/16","gw":"10.200.6.1"}]' in ran(sites, "render", "dev-peer")
    ran(sites, "preview", "--all", "--engine", "direct")
    sites.up()
    assert {name: config["ipam"]["routes"] for name, config in attached(sites).items()} == {
        name: [route] for name, route in ROUTES.items()
    }
    ran(sites, "verify", "--all")
    ran(sites, "drift", "--all", "--engine", "direct")

    peers = json.loads(ran(sites, "peers", "--json"))
    assert {(each["ready"], *each["via"], each["mtu"]) for each in peers["paths"]} == {
        (True, "10.200.5.1", "10.200.6.1", 8000),
        (True, "10.200.6.1", "10.200.5.1", 8000),
    }
    assert "site east ↔ site west: routed by 10.200.5.1 and 10.200.6.1, at most 8000 bytes a packet" in ran(
        sites, "peers"
    )

    measured = json.loads(ran(sites, "checkup", "--all", *WORKERS, "-o", "json"))
    assert measured["findings"] == []
    across = [each for each in measured["pairs"] if each["source"]["stack"] != each["target"]["stack"]]
    assert len(across) == 18
    assert all(each["ok"] and each["pathMtu"] == 8000 for each in across)

    report = json.loads(ran(sites, "report", "--all", "-o", "json"))
    assert [(each["name"], each["stacks"], each["tone"]) for each in report["sites"]] == [
        ("east", ["dev"], "good"),
        ("west", ["dev-peer"], "good"),
    ]
    assert "Sites, and what connects them" in ran(sites, "report", "--all", "-o", "markdown")
    assert "migrations, site east to west" in ran(sites, "export", "firewall", "--all")

    # The network in use tells the site.
    kubeconfig = ("--kubeconfig", str(sites.lab.kubeconfig))
    ran(sites, "init", "again", "--context", "dev-peer", *kubeconfig, "--from-cluster", "--master", "eth1")
    again = sites.folder / "Pulumi.again.yaml"
    assert yaml.safe_load(again.read_text())["config"]["migration-network:site"] == "west"
    again.unlink()

    # A new site changes no attachment that exists.
    north = {"north": {"subnet": "10.200.7.0/24", "gateway": "10.200.7.1"}}
    write(sites, SEGMENT | {"sites": {**SEGMENT["sites"], **north}})  # type: ignore[dict-item]
    for verb in ("drift", "preview"):
        ran(sites, verb, "--all", "--engine", "direct", *(["--expect-no-changes"] if verb == "preview" else []))

    config = attached(sites)["dev"]
    del config["ipam"]["routes"]
    sites.dev.merge(f"{ATTACHMENTS}/{NETWORK}", {"spec": {"config": json.dumps(config)}})
    assert "ipam.routes" in ran(sites, "drift", "dev", "--engine", "direct", code=7)
    # The pods were not made anew, and nobody knows whether they have the route: it stays said.
    assert "pods-keep-old-network" in ran(sites, "drift", "dev", "--engine", "direct", "--fix", "--yes", code=7)
    assert attached(sites)["dev"]["ipam"]["routes"] == [ROUTES["dev"]]

    ran(sites, "destroy", "--all", "--yes", "--engine", "direct")
    assert [each.get(f"{ATTACHMENTS}/{NETWORK}") for each in sites.clusters] == [None, None]


@pytest.mark.pulumi
def test_pulumi_declares_the_same_route(sites: Operated) -> None:
    ran(sites, "allocate", "dev", "dev-peer", "--headroom", "300")
    for cluster in sites.clusters:
        until(lambda one=cluster: one.settled(None), f"{cluster.name} is on no network")  # type: ignore[misc]
    ran(sites, "up", "--all", "--yes", "--engine", "pulumi")
    assert {name: config["ipam"]["routes"] for name, config in attached(sites).items()} == {
        name: [route] for name, route in ROUTES.items()
    }
    ran(sites, "drift", "--all", "--engine", "pulumi")
