"""The CNI plugins are pinned apart from the lab's servers."""

import re

from mignet.lab import binaries
from mignet.lab.dataplane.plugins import MODULE, PACKAGES


def test_every_plugin_is_a_tool_of_the_module_and_its_release_is_pinned() -> None:
    module = (MODULE / "go.mod").read_text()
    assert set(re.findall(r"^\t(\S+)$", module, flags=re.MULTILINE)) == set(PACKAGES.values())
    assert re.search(r"containernetworking/plugins v\d+\.\d+\.\d+", module)


def test_the_servers_module_does_not_know_the_plugins() -> None:
    assert "containernetworking" not in (binaries.TOOLS / "go.mod").read_text()
