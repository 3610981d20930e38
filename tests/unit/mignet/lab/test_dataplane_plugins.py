"""What a data plane needs: its programs are pinned apart from the lab's servers, and what is missing is named."""

import re
from pathlib import Path

import pytest

from mignet.lab.dataplane import controllers, namespaces
from mignet.lab.dataplane.plugins import MODULE, PACKAGES
from mignet.lab.lab import Lab, LabError
from mignet.lab.servers import binaries


def test_every_plugin_is_a_tool_of_the_module_and_its_release_is_pinned() -> None:
    module = (MODULE / "go.mod").read_text()
    assert set(re.findall(r"^\t(\S+)$", module, flags=re.MULTILINE)) == set(PACKAGES.values())
    assert re.search(r"containernetworking/plugins v\d+\.\d+\.\d+", module)


def test_the_servers_module_does_not_know_the_plugins() -> None:
    assert "containernetworking" not in (binaries.TOOLS / "go.mod").read_text()


def test_the_controllers_are_of_the_release_of_the_api_servers() -> None:
    pinned = [
        re.findall(r"^\t(k8s\.io/kubernetes) (v\S+)", (module / "go.mod").read_text(), flags=re.MULTILINE)
        for module in (binaries.TOOLS, controllers.MODULE)
    ]
    assert pinned[0] == pinned[1] != []


def test_a_program_that_changes_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example\n\ngo 1.24.0\n")
    (module / "go.sum").touch()
    folders = []
    for text in ("one", "two"):
        (module / "main.go").write_text(f'package main\n\nfunc main() {{ print("{text}") }}\n')
        folders.append(binaries.built("example", module, {"example": "."}, lambda _: None))
    assert folders[0] != folders[1]


def test_a_lab_that_can_have_no_data_plane_says_why_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert namespaces.missing() == "there is no nsenter on PATH (Debian's package util-linux)"
    with pytest.raises(LabError, match="there can be no data plane here: there is no nsenter"):
        Lab(tmp_path / "lab", dataplane=True).up(lambda _: None)
    assert not (tmp_path / "lab").exists()
