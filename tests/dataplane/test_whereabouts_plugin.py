"""The real whereabouts, on two API servers with IPPools of their own, gives handlers what the rendered slices say.

The plugins macvlan and bridge get its addresses through `static`.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from itertools import product
from typing import Any

import pytest
import real_whereabouts
from operated import until
from real_whereabouts import Whereabouts
from support import Kube
from wired import EXAMPLE, SYNC, Handler, Wired, reaches

from config.loading import load_stack
from mignet.kube.network.whereabouts import leases
from mignet.lab.dataplane import cni
from mignet.lab.lab import Lab

NAMESPACE = "namespaces/kube-system"
"""Where the plugin writes when its kubeconfig names no other."""
API = f"/apis/whereabouts.cni.cncf.io/v1alpha1/{NAMESPACE}"
POOL = f"{API}/ippools/10.200.5.0-24"
SUBNET = ip_network("10.200.5.0/24")
ALLOCATOR = f"/apis/coordination.k8s.io/v1/{NAMESPACE}/leases/whereabouts"
"""The lease that the plugin holds while it gives an address or takes one back."""


@dataclass
class Book:
    """One cluster's whereabouts, and its API server."""

    plugin: Whereabouts
    kube: Kube

    def held(self) -> dict[str, str]:
        """Return what the cluster's pool has given, and the pods; for all its pools, the same is reserved."""
        given = {str(lease.address): lease.pod for lease in leases(SUBNET, self.kube.call("GET", POOL))}
        reserved = self.kube.call("GET", f"{API}/overlappingrangeipreservations")["items"]
        names = {each["metadata"]["name"]: each["spec"]["podref"] for each in reserved}
        assert {name: pod for name, pod in names.items() if name.startswith("10.200.5.")} == given
        return given

    @property
    def allocator(self) -> dict[str, Any]:
        return dict(self.kube.call("GET", ALLOCATOR)["spec"])

    def give(self, pod: str, config: dict[str, Any]) -> str:
        """Have a pod get its address, with its prefix length."""
        (one,) = self.plugin.call("ADD", pod, config)["ips"]
        return str(one["address"])


@pytest.fixture(scope="module")
def books(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Book]:
    """Each cluster's whereabouts."""
    plugin = real_whereabouts.build()
    return {
        name: Book(Whereabouts.of(plugin, lab, name, tmp_path_factory.mktemp("books")), Kube(lab.kubeconfig, name))
        for name in lab.clusters
    }


@pytest.fixture
def addressed(
    books: dict[str, Book], wire: Callable[..., Wired]
) -> Iterator[Callable[[dict[str, dict[str, Any]]], Wired]]:
    """Attach handlers with addresses of the real plugin, and demand that its pools are empty after they are gone."""
    held: list[tuple[Book, Handler, dict[str, Any]]] = []

    def attach(configs: dict[str, dict[str, Any]]) -> Wired:
        fleet = wire(configs, attached=False)
        for cluster, handlers in fleet.handlers.items():
            for handler in handlers:
                given = books[cluster].give(handler.name, configs[cluster])
                held.append((books[cluster], handler, configs[cluster]))
                handler.config = cni.stand_in(configs[cluster], cni.static([given], configs[cluster]["ipam"]))
                handler.attach()
        return fleet

    yield attach
    for book, handler, config in held:
        book.plugin.call("DEL", handler.name, config)
    assert [book.held() for book in books.values()] == [{}, {}]


def demanded(books: dict[str, Book], fleet: Wired) -> None:
    """Demand that each cluster's pool holds the addresses that its pods have, and no other."""
    for name, handlers in fleet.handlers.items():
        assert books[name].held() == {each.address: f"openshift-cnv/{each.name}" for each in handlers}


@pytest.mark.parametrize("kind", ["macvlan", "excluded", "bridge"])
def test_rendered_slices_give_each_handler_an_address_of_its_own_on_which_all_others_reach_it(
    kind: str,
    rendered: Callable[[str], dict[str, dict[str, Any]]],
    addressed: Callable[..., Wired],
    books: dict[str, Book],
) -> None:
    configs = rendered(kind)
    assert all(("exclude" in config["ipam"]) == (kind == "excluded") for config in configs.values())
    fleet = addressed(configs)
    given = {name: [handler.address for handler in handlers] for name, handlers in fleet.handlers.items()}
    assert given == {"dev": ["10.200.5.10", "10.200.5.11"], "dev-peer": ["10.200.5.61", "10.200.5.62"]}
    demanded(books, fleet)
    for source, target in product(*fleet.handlers.values()):
        assert reaches(source, target, SYNC)
        assert reaches(target, source, 0)


def test_the_example_in_two_clusters_gives_every_address_twice(
    addressed: Callable[..., Wired], books: dict[str, Book]
) -> None:
    fleet = addressed({"dev": EXAMPLE, "dev-peer": EXAMPLE})
    given = [[handler.address for handler in handlers] for handlers in fleet.handlers.values()]
    assert given == [["10.200.5.1", "10.200.5.2"]] * 2
    demanded(books, fleet)


def test_pods_that_come_up_at_once_wait_for_their_own_clusters_allocator_and_for_no_other(
    rendered: Callable[[str], dict[str, dict[str, Any]]], books: dict[str, Book]
) -> None:
    pods = [(name, f"{name}-{number}", rendered("macvlan")[name]) for name in books for number in range(3)]
    with ThreadPoolExecutor(len(pods)) as at_once:
        given = list(at_once.map(lambda pod: books[pod[0]].give(*pod[1:]), pods))
        told: dict[str, dict[str, str]] = {name: {} for name in books}
        for (name, pod, _), address in zip(pods, given, strict=True):
            told[name][str(ip_interface(address).ip)] = f"openshift-cnv/{pod}"
        assert {name: sorted(held) for name, held in told.items()} == {
            "dev": ["10.200.5.10", "10.200.5.11", "10.200.5.12"],
            "dev-peer": ["10.200.5.61", "10.200.5.62", "10.200.5.63"],
        }
        assert {name: book.held() for name, book in books.items()} == told
        before = [book.allocator["leaseTransitions"] for book in books.values()]
        list(at_once.map(lambda pod: books[pod[0]].plugin.call("DEL", *pod[1:]), pods))
    assert [book.held() for book in books.values()] == [{}, {}]
    for count, book in zip(before, books.values(), strict=True):
        assert book.allocator["leaseTransitions"] >= count + 3
        # Other tests may be at it on this cluster.
        until(lambda book=book: book.allocator["holderIdentity"] == "", "the lease is given back")


@pytest.mark.parametrize("dual", [False, True], ids=["IPv4", "dual stack"])
def test_the_route_of_a_site_is_in_the_plugins_result_for_cni_to_put_on_the_pod(
    books: dict[str, Book],
    dual: bool,  # noqa: FBT001
) -> None:
    families = [("10.200.0.0/16", "10.200.5.0/24", "10.200.5.1"), ("fd00:200::/32", "fd00:200:5::/64", "fd00:200:5::1")]
    supernet, subnet, gateway = map(list, zip(*families[: 2 if dual else 1], strict=True))
    slices = [
        {"rangeStart": f"{start}10", "rangeEnd": f"{start}60"} for start in ("10.200.5.", "fd00:200:5::")[: len(subnet)]
    ]
    values: dict[str, Any] = {
        "segment": {"supernet": supernet, "sites": {"east": {"subnet": subnet, "gateway": gateway}}},
        "site": "east",
        "cluster": {"context": "dev"},
        "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
        "slice": slices,
    }
    config = json.loads(load_stack("dev", values).cni_json)

    result = books["dev"].plugin.call("ADD", "pod", config)

    assert [each["address"] for each in result["ips"]] == ["10.200.5.10/24", "fd00:200:5::10/64"][: len(subnet)]
    assert result["routes"] == [{"dst": to, "gw": via} for to, via in zip(supernet, gateway, strict=True)]
    books["dev"].plugin.call("DEL", "pod", config)
    assert books["dev"].held() == {}
