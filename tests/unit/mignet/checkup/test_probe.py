"""The probe as a pod runs it, in network namespaces: what each kind of broken way looks like to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from probes import PORTS, Fabric, fabric, ip, why_not

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Fabric]:
    with fabric(tmp_path) as made:
        made.host("a", "10.9.0.1")
        made.host("b", "10.9.0.2")
        yield made


def test_a_sound_way_is_a_round_trip_time_and_nothing_else(pair: Fabric) -> None:
    pair.host("c", "10.9.0.3")
    for found in pair.measure().values():
        assert all(isinstance(each, int) and 0 < each < 1e6 for each in found.pop("r"))
        assert found == {"v": 1, "i": 1, "n": 9000, "k": True, "d": []}


def test_over_ipv6_it_is_the_same(tmp_path: Path) -> None:
    with fabric(tmp_path) as made:
        made.host("a", "fd00:9::1")
        made.host("b", "fd00:9::2")
        for found in made.measure().values():
            assert [type(each) for each in found["r"]] == [int]


@pytest.mark.parametrize("size", [1500, 1400, 5117])
def test_a_link_that_is_too_small_on_the_way_is_found_with_its_size(pair: Fabric, size: int) -> None:
    pair.host("c", "10.9.0.3", mtu=size)
    found = pair.measure(seconds=25)
    assert [each["m"] for each in found["c"]["r"]] == [size, size]
    sound, small = found["a"]["r"]
    assert isinstance(sound, int)
    assert small["m"] == size
    assert "p" not in small


def test_who_is_on_another_network_answers_nothing(pair: Fabric) -> None:
    pair.bridge("other")
    pair.host("c", "10.9.0.3", bridge="other")
    found = pair.measure()
    assert isinstance(found["a"]["r"][0], int)
    assert found["a"]["r"][1] == {"p": list(PORTS), "e": found["a"]["r"][1]["e"]}
    assert all(each["p"] == list(PORTS) and "l" not in each for each in found["c"]["r"])
    assert found["c"]["k"] is True


def test_a_link_without_carrier_says_so(pair: Fabric) -> None:
    pair.host("c", "10.9.0.3")
    ip("link", "set", pair.ends["c"], "down", inside=pair.name)
    assert pair.measure()["c"]["k"] is False


def test_a_second_machine_with_an_address_is_told_by_its_mac_or_by_what_it_says(pair: Fabric) -> None:
    pair.host("twin", "10.9.0.2")
    # Who answers first is chance; so only one of them is there.
    ip("link", "set", pair.ends["b"], "down", inside=pair.name)
    pair.start("twin", seconds=20)
    (found,) = pair.measure("a", "b", seconds=6)["a"]["r"]
    assert found["w"] == "t-twin"
    assert found["a"] == pair.mac("twin")


def block(where: Fabric, name: str, port: int) -> None:
    """Drop what a host sends to a TCP port: a classic BPF program, as no rule of a firewall may be there."""
    code = f"9,40 0 0 12,21 0 6 2048,48 0 0 23,21 0 4 6,177 0 0 14,72 0 0 16,21 0 1 {port},6 0 0 2,6 0 0 4294967295"
    inside = ["tc", "-n", where.hosts[name]]
    subprocess.run([*inside, "qdisc", "add", "dev", "migration0", "clsact"], check=True)
    program = ["bpf", "direct-action", "bytecode", code]
    subprocess.run([*inside, "filter", "add", "dev", "migration0", "egress", *program], check=True)


@pytest.mark.skipif(shutil.which("tc") is None, reason="the program tc (iproute2) is not installed")
def test_who_asks_first_sees_a_second_machine_that_answers_by_itself(pair: Fabric) -> None:
    pair.host("twin", "10.9.0.2")
    # The bridge hands a broadcast to its newest port first, so that the twin's answer is the first one.
    (found,) = pair.measure("a", "b", seconds=8)["a"]["r"]
    assert found["a"] == pair.mac("twin")


def test_ports_that_are_blocked_are_named_and_the_way_is_there(pair: Fabric) -> None:
    block(pair, "a", PORTS[1])
    found = pair.measure()
    assert found["a"]["r"][0] == {"p": [PORTS[1]], "e": ["timeout"], "l": 1, "t": found["a"]["r"][0]["t"]}
    assert isinstance(found["b"]["r"][0], int)


def test_throughput_is_measured_up_to_its_cap(pair: Fabric) -> None:
    (found,) = pair.measure(throughput=50)["a"]["r"]
    assert 25 < found["s"] < 60


def test_without_targets_it_ends_by_itself(pair: Fabric) -> None:
    process, _, result = pair.start("a", seconds=0.5)
    assert process.wait(timeout=20) == 0
    assert '"r":[]' in result.read_text()


def test_it_ends_at_once_when_its_pod_is_deleted(pair: Fabric) -> None:
    process, _, _ = pair.start("a", seconds=60)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.terminate()
    assert process.wait(timeout=5) == 143
