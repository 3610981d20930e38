"""The data plane of the tests: a fabric, and the plugins, where the machine allows it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wired

from mignet.lab.dataplane import namespaces, plugins

MISSING = namespaces.missing()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if MISSING and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=f"no data plane: {MISSING}"))


@pytest.fixture(scope="session")
def plugin_folder() -> Path:
    return plugins.find(lambda _: None)


@pytest.fixture(scope="module", autouse=True)
def nothing_remains() -> Iterator[None]:
    """Demand that the tests of a file leave no namespace, process or interface behind."""
    before = wired.traces()
    yield
    assert wired.traces() == before


@pytest.fixture(scope="module")
def wire(
    nothing_remains: None, plugin_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[dict[str, dict[str, Any]]], wired.Wired]]:
    """Wire clusters: each gets two nodes, with a handler each, attached unless the test says otherwise."""
    made: list[wired.Wired] = []

    def make(configs: dict[str, dict[str, Any]], *, attached: bool = True) -> wired.Wired:
        one = wired.Wired(plugin_folder, tmp_path_factory.mktemp("books"))
        made.append(one)
        for name, config in configs.items():
            one.cluster(name, 2, config)
        if attached:
            one.attach()
        return one

    yield make
    for one in made:
        one.close()


EXCLUDING = {"type": "whereabouts", "split": "exclude"}
ATTACHMENTS = {
    "macvlan": {},
    "excluded": {"attachment": {"type": "macvlan", "name": "migration", "master": "eth1", "ipam": EXCLUDING}},
    "bridge": {"attachment": {"type": "bridge", "name": "migration", "bridge": wired.BRIDGE, "vlan": wired.VLAN}},
}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Return what mignet renders for a fleet of two stacks, by the type of their attachment."""
    known: dict[str, dict[str, dict[str, Any]]] = {}

    def render(kind: str) -> dict[str, dict[str, Any]]:
        if kind not in known:
            known[kind] = wired.render(tmp_path_factory.mktemp("fleet") / kind, ATTACHMENTS[kind])
        return known[kind]

    return render
