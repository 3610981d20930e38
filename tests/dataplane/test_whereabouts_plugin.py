"""The real whereabouts on the lab's API servers, one book a cluster, gives handlers what the rendered slices say.

The plugins macvlan and bridge get its addresses through `static`.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import real_whereabouts
from real_whereabouts import Whereabouts
from wired import EXAMPLE, SYNC, Handler, Wired, reaches

from mignet.lab.dataplane import cni
from mignet.lab.lab import Lab


@pytest.fixture(scope="module")
def books(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whereabouts]:
    """Each cluster's whereabouts."""
    plugin = real_whereabouts.build()
    return {name: Whereabouts.of(plugin, lab, name, tmp_path_factory.mktemp("books")) for name in lab.clusters}


@pytest.fixture
def addressed(
    books: dict[str, Whereabouts], wire: Callable[..., Wired]
) -> Iterator[Callable[[dict[str, dict[str, Any]]], Wired]]:
    """Attach handlers with addresses of the real plugin, and give those back in the end."""
    held: list[tuple[Whereabouts, Handler, dict[str, Any]]] = []

    def attach(configs: dict[str, dict[str, Any]]) -> Wired:
        fleet = wire(configs, attached=False)
        for cluster, handlers in fleet.handlers.items():
            for handler in handlers:
                given = books[cluster].call("ADD", handler.name, configs[cluster])
                held.append((books[cluster], handler, configs[cluster]))
                handler.config = cni.stand_in(configs[cluster], cni.static([each["address"] for each in given["ips"]]))
                handler.attach()
        return fleet

    yield attach
    for book, handler, config in held:
        book.call("DEL", handler.name, config)


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
