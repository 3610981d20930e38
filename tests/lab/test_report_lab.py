"""The report on real API servers: what is wrong on a cluster of the lab stands in the page, where it belongs."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import yaml
from fleets import silent_server
from operated import ATTACHMENTS, Objects, Operated, interface, renewed, until

from mignet.lab.lab import Lab

DERIVED = "as the clusters' objects say; nothing was measured between the nodes (mignet checkup does)"


@pytest.fixture(scope="module")
def fleet(operated_lab: tuple[Lab, list[Objects]], tmp_path_factory: pytest.TempPathFactory) -> Operated:
    """Both clusters, up on one segment; every test leaves them as it found them."""
    one = renewed(*operated_lab, tmp_path_factory.mktemp("report") / "project")
    one.up()
    return one


@pytest.fixture
def sound(fleet: Operated) -> Iterator[Operated]:
    """The same, sound before and after."""
    until(lambda: page(fleet)[0].startswith("✓"), "sound")
    yield fleet
    fleet.dev.heal()
    until(lambda: page(fleet)[0].startswith("✓"), "sound again")


def page(of: Operated, *options: str, code: int = 0) -> tuple[str, str]:
    """Return the first line of a report, and its page."""
    outcome = of.run("report", *options)
    assert outcome.code == code, outcome.out + outcome.err
    text = (of.folder / "migration-network.html").read_text()
    (head,) = re.findall(r"<h1[^>]*>(.*?)</h1>", text)
    return html.unescape(re.sub("<[^>]*>", "", head)), text


def test_a_sound_fleet_is_shown_with_its_leases_and_every_station_from_node_to_pod(sound: Operated) -> None:
    head, text = page(sound)
    assert head == f"✓Every cluster is on the network, and every path is ready, {DERIVED}"
    assert text.count("5 of 51 leased") >= 1
    assert "2 of 2 paths are ready" in text
    assert "from the stack files and 2 of 2 clusters" in text
    for each in ("dev-control-plane-0", "eth1", "VLAN 2001", "my-secondary-network", "virt-handler", "sync controller"):
        assert each in text
    assert "box bad" not in text
    assert "HyperConverged kubevirt-hyperconverged, liveMigrationConfig" in text, "who wrote it last"


def test_the_drawings_are_written_as_files(sound: Operated) -> None:
    outcome = sound.run("report", "dev", "dev-peer", "--svg", "drawings", "--page", "out/page.html")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"wrote out/page.html: Every cluster is on the network, and every path is ready, {DERIVED}\n"
    names = sorted(path.name for path in (sound.folder / "drawings").iterdir())
    assert names == ["addresses-1.svg", "path-dev-peer.svg", "path-dev.svg", "peers.svg"]
    for path in (sound.folder / "drawings").iterdir():
        ET.parse(path)


def test_markdown_goes_to_standard_output_and_no_page_is_written(sound: Operated) -> None:
    (sound.folder / "migration-network.html").unlink()
    outcome = sound.run("report", "-o", "markdown")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("## ✓ Migration network: ")
    assert outcome.out.count("```mermaid") == 4
    assert not (sound.folder / "migration-network.html").exists()


def test_a_handler_on_the_pod_network_breaks_the_path_of_its_node_at_the_pod(sound: Operated) -> None:
    sound.dev.fault("handler-on-pod-network")
    until(lambda: any(interface(pod) is None for pod in sound.dev.pods()))
    until(lambda: "pod-network-fallback" in page(sound)[1], "seen")
    head, text = page(sound)
    assert "error" in head
    (broken,) = re.findall(r'<p class="why bad">(.*?)</p>', text)
    assert "dev-worker-2: pod virt-handler has no migration0" in broken


def test_an_attachment_that_is_gone_breaks_the_path_of_every_node_of_that_cluster(sound: Operated) -> None:
    attachment = f"{ATTACHMENTS}/my-secondary-network"
    before = sound.dev.get(attachment)
    sound.dev.kube.call("DELETE", attachment)
    _, text = page(sound)
    assert "attachment-gone" in text
    reasons = re.findall(r'<p class="why bad">(.*?)</p>', text)
    assert reasons
    assert all("attachment my-secondary-network does not exist" in each for each in reasons)
    assert all("dev-peer" not in each for each in reasons)
    sound.up("dev")
    assert sound.dev.get(attachment)["spec"] == before["spec"]
    sound.dev.kube.call("DELETE", "/api/v1/namespaces/openshift-cnv/pods", params={"gracePeriodSeconds": "0"})


def test_a_gate_that_is_missing_closes_both_ways_in_the_matrix(sound: Operated) -> None:
    sound.dev.fault("gate-missing")
    until(lambda: "peer-gate" in page(sound)[1])
    _, text = page(sound)
    cells = re.findall(r'<td role="gridcell"[^>]*class="bad" aria-label="([^"]*)"', text)
    assert {cell.partition(":")[0] for cell in cells} == {"from dev to dev-peer", "from dev-peer to dev"}
    assert all("does not list the feature gate" in cell for cell in cells)


def test_with_files_alone_no_cluster_is_asked_and_the_page_says_so(sound: Operated) -> None:
    head, text = page(sound, "--files")
    assert head == "○The files agree with each other; no cluster was asked"
    assert "leases not seen" in text
    assert "from the stack files alone" in text


def test_a_cluster_that_does_not_answer_is_said_and_the_other_is_shown(sound: Operated) -> None:
    path = sound.folder / "Pulumi.dev.yaml"
    before = path.read_text()
    sound.change("dev", cluster={"context": "nowhere", "kubeconfig": str(sound.lab.kubeconfig), "nodes": 3})
    try:
        head, text = page(sound, code=1)
    finally:
        path.write_text(before)
    assert "error" in head
    assert "1 of 2 clusters" in text
    assert "cluster-kubeconfig" in text
    assert "5 of 50 leased" in text, "the peer's"


def test_a_cluster_that_takes_too_long_is_one_finding_and_its_ways_are_closed(sound: Operated) -> None:
    with silent_server() as address:
        content = yaml.safe_load(sound.lab.kubeconfig.read_text())
        silent = next(each for each in content["contexts"] if each["name"] == "dev")["context"]["cluster"]
        for each in content["clusters"]:
            each["cluster"].pop("certificate-authority", None)
            if each["name"] == silent:
                each["cluster"] = {"server": f"https://{address}", "insecure-skip-tls-verify": True}
        path = sound.folder / "silent.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        before = (sound.folder / "Pulumi.dev.yaml").read_text()
        sound.change("dev", cluster={"context": "dev", "kubeconfig": str(path), "nodes": 3})
        try:
            head, text = page(sound, "--timeout", "2", code=1)
        finally:
            (sound.folder / "Pulumi.dev.yaml").write_text(before)
    assert head == "✕1 error on 1 cluster: migrations fail, or will"
    assert text.count('<details class="group') == 1
    assert "0 of 2 paths are ready" in text
