"""The sites of a report: who is in each, what was measured between them, and the picture."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.files.project_files import Project
from mignet.fleet.last_checkup import Checkup, Way
from mignet.outputs import as_json
from mignet.report import Report, assemble, files_of
from mignet.report.collect import from_files
from mignet.report.rendering import diagrams, markdown, mermaid, page, svg
from mignet.report.sites import sites_of

SITES = {
    "east": {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1", "vlan": 2001, "mtu": 9000},
    "west": {"subnet": "10.200.6.0/24", "gateway": "10.200.6.1"},
}


@pytest.fixture(autouse=True)
def nothing_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def project(folder: Path, segment: dict[str, Any], **sites: str | None) -> Project:
    content = {"name": "net", "runtime": "python", "config": {"segment": {"default": segment}}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(content))
    for number, (name, site) in enumerate(sites.items()):
        net = "10.200.6" if site == "west" else "10.200.5"
        config = {
            "cluster": {"context": name},
            "attachment": {"type": "macvlan", "name": "m", "master": "eth1"},
            "slice": {"rangeStart": f"{net}.{10 + 10 * number}", "rangeEnd": f"{net}.{19 + 10 * number}"},
        }
        (folder / f"Pulumi.{name}.yaml").write_text(
            yaml.safe_dump({"config": config | ({"site": site} if site else {})})
        )
    return Project.find(folder)


def report(one: Project) -> Report:
    files, stacks = files_of(one, one.stack_names())
    return assemble(one, one.stack_names(), files, [from_files(each) for each in stacks], asked=False)


def test_each_site_is_drawn_with_its_clusters_its_gateway_and_what_connects_it(tmp_path: Path) -> None:
    one = project(tmp_path, {"supernet": "10.200.0.0/16", "mtu": 1500, "sites": SITES}, a="east", b="west", c="west")
    found = report(one)
    drawing = diagrams.sites(found.sites)
    assert [[box.text for box in row.boxes] for row in drawing.chains] == [
        ["east", "10.200.5.0/24", "10.200.5.1", "west"],
        ["west", "10.200.6.0/24", "10.200.6.1", "east"],
    ]
    assert [row.boxes[0].detail for row in drawing.chains] == ["a", "b, c"]
    assert [row.boxes[1].detail for row in drawing.chains] == ["VLAN 2001, MTU 9000", ""]
    assert {row.boxes[3].detail for row in drawing.chains} == {"at most 1500 bytes a packet"}
    assert "to 10.200.0.0/16" in svg.document(drawing)
    for text in (markdown.render(found), page.render(found)):
        assert "Sites, and what connects them" in text
    assert "10.200.6.1" in mermaid.draw(drawing)
    read = json.loads(as_json.report(found, "", one))
    assert [(each["name"], each["pathMtu"], each["mtu"]) for each in read["sites"]] == [
        ("east", 1500, 9000),
        ("west", 1500, None),
    ]


def test_a_fleet_in_one_subnet_has_no_picture_of_sites(tmp_path: Path) -> None:
    found = report(project(tmp_path, {"subnet": "10.200.5.0/24"}, a=None, b=None))
    assert found.sites == ()
    assert "sites" not in {each.name for each in diagrams.of(found)}
    assert 'id="sites"' not in page.render(found)


@pytest.mark.parametrize(
    ("oks", "tone", "words"),
    [
        ((), "idle", "not measured"),
        ((True, True), "good", "2 paths measured"),
        ((True, False), "warn", "1 of 2 measured paths are broken, such as b/n → a/n: no answer"),
        ((False, False), "bad", "2 of 2 measured paths are broken"),
    ],
)
def test_a_site_stands_as_its_paths_to_others_were_measured(
    oks: tuple[bool, ...], tone: str, words: str, tmp_path: Path
) -> None:
    one = project(tmp_path, {"supernet": "10.200.0.0/16", "sites": SITES}, a="east", b="west", c="west")
    _, stacks = files_of(one, one.stack_names())
    ends = (("a", "b"), ("b", "a"))
    across = tuple(
        Way((source, "n"), (target, "n"), ok, "" if ok else "no answer", 0.1, 1500)
        for (source, target), ok in zip(ends, oks, strict=False)
    )
    # Between clusters of one site, no router is passed.
    inside = Way(("b", "n"), ("c", "n"), False, "no answer", None, None)
    checkup = Checkup(datetime.now(UTC), 9, 9, (*across, inside), (), ())
    for site in sites_of(stacks, checkup):
        assert site.tone == tone
        assert site.measured.startswith(words)
