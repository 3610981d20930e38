"""`mignet allocate`, `release` and `plan-addresses`, as a user runs them."""

from __future__ import annotations

import difflib
import ipaddress
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from forked import MIGNET
from support import document

from config.files.project_files import Project
from config.finding import ConfigError
from config.planning.address_map import draw
from config.types.addressing import AddressRange
from mignet.fleet import stack_files
from mignet.operations import allocate
from mignet.outputs import address_map

SEGMENT = "{subnet: 10.200.5.0/24, gateway: 10.200.5.1, reserved: [10.200.5.250-10.200.5.254]}"
STACK = """\
# The cluster {name}.
config:
  migration-network:cluster: {{context: {name},   nodes: {nodes}, headroom: 0}}  # as counted
  migration-network:attachment: {{type: macvlan, name: migration, master: eth1}}
"""


def project(folder: Path, segment: str = SEGMENT, **stacks: tuple[int, str | None]) -> Project:
    """Make a project with stacks of so many nodes, with such a slice or none."""
    folder.mkdir(exist_ok=True)
    (folder / "Pulumi.yaml").write_text(f"name: migration-network\nconfig: {{segment: {{default: {segment}}}}}\n")
    for name, (nodes, span) in stacks.items():
        text = STACK.format(name=name, nodes=nodes)
        if span:
            first, _, last = span.partition("-")
            text += f"  migration-network:slice: {{rangeStart: {first}, rangeEnd: {last}}}\n"
        (folder / f"Pulumi.{name}.yaml").write_text(text)
    return Project.find(folder)


def mignet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.mignet(*arguments, cwd=folder)


def slice_of(folder: Path, stack: str) -> Any:
    return yaml.safe_load((folder / f"Pulumi.{stack}.yaml").read_text())["config"].get("migration-network:slice")


def changes(old: str, new: str) -> list[str]:
    return [line for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line[0] in "+-"]


def test_a_new_slice_is_for_the_nodes_the_sync_controllers_a_rollout_and_headroom(tmp_path: Path) -> None:
    project(tmp_path, dev=(3, None), other=(3, "10.200.5.2-10.200.5.9"))
    before = (tmp_path / "Pulumi.dev.yaml").read_text()
    result = mignet(tmp_path, "allocate", "dev", "--headroom", "20")
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        "dev: slice 10.200.5.10-10.200.5.16 (7 addresses) is new; the cluster needs 7 (3 nodes + 2 sync controllers"
        " + 1 during a rollout + 1 headroom, 20 % of nodes)\n"
    )
    assert changes(before, (tmp_path / "Pulumi.dev.yaml").read_text()) == [
        "+   migration-network:slice:",
        "+     rangeStart: 10.200.5.10",
        "+     rangeEnd: 10.200.5.16",
    ]


def test_a_slice_grows_in_place_and_only_its_line_changes(tmp_path: Path) -> None:
    project(tmp_path, dev=(3, "10.200.5.10-10.200.5.15"), other=(3, "10.200.5.30-10.200.5.39"))
    before = (tmp_path / "Pulumi.dev.yaml").read_text()
    result = mignet(tmp_path, "allocate", "dev", "--nodes", "7")
    assert "slice 10.200.5.10-10.200.5.15 has grown to 10.200.5.10-10.200.5.19 (10 addresses)" in result.stdout
    assert changes(before, (tmp_path / "Pulumi.dev.yaml").read_text()) == [
        "-   migration-network:slice: {rangeStart: 10.200.5.10, rangeEnd: 10.200.5.15}",
        "+   migration-network:slice: {rangeStart: 10.200.5.10, rangeEnd: 10.200.5.19}",
    ]


def test_a_slice_that_is_large_enough_stays_and_its_file_is_not_written(tmp_path: Path) -> None:
    project(tmp_path, dev=(3, "10.200.5.10-10.200.5.60"))
    file = tmp_path / "Pulumi.dev.yaml"
    inode = file.stat().st_ino
    result = mignet(tmp_path, "allocate", "dev")
    assert "slice 10.200.5.10-10.200.5.60 (51 addresses) stays" in result.stdout
    assert file.stat().st_ino == inode


def test_addresses_that_the_stack_itself_excludes_do_not_count(tmp_path: Path) -> None:
    one = project(tmp_path, dev=(3, "10.200.5.10-10.200.5.15"))
    file = tmp_path / "Pulumi.dev.yaml"
    ipam = "master: eth1, ipam: {type: whereabouts, exclude: [10.200.5.12/31, 10.200.5.17/32]}"
    file.write_text(file.read_text().replace("master: eth1", ipam))
    (result,) = allocate.allocate(one, ["dev"])
    # Four addresses of six count, and two more are needed; after the end there is one before the next exclude.
    assert [str(span) for span in result.after] == ["10.200.5.8-10.200.5.15"]


@pytest.mark.parametrize(
    ("stacks", "arguments", "line"),
    [
        (
            {"dev": (300, None)},
            ["dev"],
            "dev: slice has no room for 303 addresses in subnet 10.200.5.0/24; its largest free part has 248. Widen"
            " segment.subnet to 10.200.4.0/22, the smallest that would do",
        ),
        (
            {
                "dev": (9, "10.200.5.10-10.200.5.15"),
                "b": (3, "10.200.5.16-10.200.5.40"),
                "c": (3, "10.200.5.2-10.200.5.7"),
            },
            ["dev"],
            "dev: slice 10.200.5.10-10.200.5.15 cannot grow by 6 to 12 addresses in place; 2 before it and 0 after it"
            " are free. Give up its addresses for new ones: mignet release dev, then mignet allocate dev",
        ),
        ({"dev": (3, "10.200.5.10-10.200.5.300")}, ["dev"], "dev: slice.rangeEnd 10.200.5.300 is not an IP address."),
        (
            {"dev": (3, None), "b": (3, "10.200.5.10-10.200.5.9")},
            ["dev"],
            "b: slice.rangeEnd 10.200.5.9 comes before rangeStart 10.200.5.10;",
        ),
        ({"dev": (3, None)}, ["nope"], "nope: Pulumi.nope.yaml does not exist. Stacks with a file: dev"),
    ],
)
def test_what_cannot_be_is_one_line_exit_code_2_and_nothing_is_written(
    tmp_path: Path, stacks: dict[str, Any], arguments: list[str], line: str
) -> None:
    project(tmp_path, **stacks)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = mignet(tmp_path, "allocate", *arguments)
    assert result.returncode == 2
    (only,) = result.stderr.splitlines()
    assert only.startswith(line)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_when_one_of_several_stacks_does_not_fit_none_is_written(tmp_path: Path) -> None:
    one = project(tmp_path, a=(3, None), b=(240, None))
    with pytest.raises(ConfigError) as caught:
        allocate.allocate(one, ["a", "b"])
    assert [finding.code for finding in caught.value.findings] == ["segment-full"]
    assert slice_of(tmp_path, "a") is slice_of(tmp_path, "b") is None


def test_a_stack_without_a_number_of_nodes_is_asked_for_it(tmp_path: Path) -> None:
    one = project(tmp_path, dev=(3, None))
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace(",   nodes: 3, headroom: 0", ""))
    with pytest.raises(ConfigError, match=r"dev: cluster.nodes is required, so that .* or give --nodes N"):
        allocate.allocate(one, ["dev"])
    assert allocate.allocate(one, ["dev"], nodes=5, headroom=0)[0].demand.total == 8


def test_a_stack_whose_ipam_reads_no_slice_is_told_so(tmp_path: Path) -> None:
    one = project(tmp_path, dev=(3, None))
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("master: eth1", "master: eth1, ipam: {type: dhcp}"))
    with pytest.raises(ConfigError, match=r"attachment.ipam.type dhcp hands out addresses without a slice"):
        allocate.allocate(one, ["dev"])
    assert allocate.maps(allocate.read(one))[0].without_slice == ()


def test_a_slice_that_another_key_repeats_is_not_edited(tmp_path: Path) -> None:
    one = project(tmp_path, dev=(30, "10.200.5.10-10.200.5.15"))
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("slice: {", "slice: &s {") + "  other:part: *s\n")
    for act in (lambda: allocate.allocate(one, ["dev"]), lambda: allocate.release(one, ["dev"])):
        with pytest.raises(ConfigError, match=r"dev: slice has an anchor that another key repeats. Write it out as"):
            act()


def test_ipv6_segments_are_allocated_in_the_same_way(tmp_path: Path) -> None:
    one = project(tmp_path, segment="{subnet: 'fd00:200::/64', gateway: 'fd00:200::1'}", dev=(3, None), b=(3, None))
    results = allocate.allocate(one, ["b", "dev"])
    assert [str(result.after[0]) for result in results] == ["fd00:200::2-fd00:200::7", "fd00:200::8-fd00:200::d"]


def test_a_dual_stack_segment_gives_a_range_of_each_family_of_one_size(tmp_path: Path) -> None:
    segment = "{subnet: [10.200.5.0/24, 'fd00:200::/64'], gateway: [10.200.5.1, 'fd00:200::1']}"
    one = project(tmp_path, segment=segment, a=(3, None), b=(3, None))
    allocate.allocate(one, ["a", "b"])
    assert slice_of(tmp_path, "b") == [
        {"rangeStart": "10.200.5.8", "rangeEnd": "10.200.5.13"},
        {"rangeStart": "fd00:200::8", "rangeEnd": "fd00:200::d"},
    ]
    (result,) = allocate.allocate(one, ["b"], nodes=5)
    assert [str(span) for span in result.after] == ["10.200.5.8-10.200.5.15", "fd00:200::8-fd00:200::f"]
    assert [plan.used for plan in allocate.maps(allocate.read(one))] == [14, 14]


def test_two_at_once_do_not_pick_the_same_part(tmp_path: Path) -> None:
    """Both are let go at the same moment, when both wait for the lock."""
    one = project(tmp_path, a=(3, None), b=(3, None))
    with stack_files.locked(one, on_wait=lambda: pytest.fail("nobody else holds it")):
        processes = [
            subprocess.Popen([MIGNET, "allocate", name], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
            for name in ("a", "b")
        ]
        for process in processes:
            assert process.stderr is not None
            assert "waiting for it" in process.stderr.readline()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    spans = [holding.spans[0] for holding in allocate.read(one)]
    assert len(spans) == 2
    assert not spans[0].overlaps(spans[1])


def test_a_stack_file_keeps_its_mode_and_its_link_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    one = project(tmp_path / "p", dev=(3, None))
    real = tmp_path / "elsewhere.yaml"
    file = one.stack_file("dev")
    file.rename(real)
    file.symlink_to(real)
    real.chmod(0o640)
    allocate.allocate(one, ["dev"])
    assert file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert slice_of(tmp_path / "p", "dev") == {"rangeStart": "10.200.5.2", "rangeEnd": "10.200.5.7"}
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["Pulumi.dev.yaml", "Pulumi.yaml"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = project(tmp_path, dev=(3, None))

    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        ConfigError, match=r"Pulumi.dev.yaml cannot be written: No space left on device. Correct that, and"
    ):
        allocate.allocate(one, ["dev"])
    assert slice_of(tmp_path, "dev") is None
    assert len(list(tmp_path.iterdir())) == 2


def test_release_asks_first_and_then_takes_the_slice_out(tmp_path: Path) -> None:
    project(tmp_path, dev=(3, "10.200.5.10-10.200.5.15"), other=(3, None))
    refused = mignet(tmp_path, "release", "dev")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        "dev: slice 10.200.5.10-10.200.5.15 will be free",
        "mignet: release asks before it changes anything. Add --yes to run without the question",
    ]
    done = mignet(tmp_path, "release", "dev", "other", "--yes")
    assert done.returncode == 0
    assert done.stdout == "dev: slice 10.200.5.10-10.200.5.15 is released\n"
    assert "other: has no slice" in done.stderr
    assert (tmp_path / "Pulumi.dev.yaml").read_text() == STACK.format(name="dev", nodes=3)


def test_the_map_shows_what_is_used_free_reserved_and_given_twice_within_80_columns(tmp_path: Path) -> None:
    project(
        tmp_path,
        a=(3, "10.200.5.10-10.200.5.60"),
        b=(3, "10.200.5.61-10.200.5.110"),
        **{"a-stack-with-a-very-long-name-that-goes-on-and-on-for-quite-some": (3, "10.200.5.100-10.200.5.120")},
        none=(3, None),
    )
    result = mignet(tmp_path, "plan-addresses")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:2] == [
        "10.200.5.0/24: 254 usable addresses, 111 used, 6 reserved or gateway, 137 free,",
        "  the largest free part 129 (94% of them)",
    ]
    assert lines[2] == "  [G..###############===========!!!!###......................................xx]"
    assert "  10.200.5.10-10.200.5.60     51  a" in lines
    assert "  10.200.5.2-10.200.5.9        8  free" in lines
    words = " ".join(" ".join(lines).split())
    assert "! 10.200.5.100-10.200.5.110 belongs to both b and a-stack-with-a-very-long-name-" in words
    assert words.endswith("! none has no slice, and hands out the whole subnet: mignet allocate none")


def test_the_map_as_json_has_every_address_once(tmp_path: Path) -> None:
    project(tmp_path, a=(3, "10.200.5.10-10.200.5.60"), b=(3, "10.200.5.71-10.200.5.110"))
    (plan,) = document(mignet(tmp_path, "plan-addresses", "--json").stdout)["maps"]
    assert [(part["kind"], part["span"]["first"], part["stack"]) for part in plan["parts"]] == [
        ("gateway", "10.200.5.1", None),
        ("free", "10.200.5.2", None),
        ("used", "10.200.5.10", "a"),
        ("free", "10.200.5.61", None),
        ("used", "10.200.5.71", "b"),
        ("free", "10.200.5.111", None),
        ("reserved", "10.200.5.250", None),
    ]
    assert sum(part["span"]["size"] for part in plan["parts"]) == plan["usable"]["size"] == 254
    assert (plan["used"], plan["free"], plan["keptFree"], plan["largestFree"]) == (91, 157, 6, 139)
    assert plan["fragmentation"] == round(1 - 139 / 157, 4)


def test_the_picture_has_words_for_every_part_and_colours_for_light_and_dark(tmp_path: Path) -> None:
    project(tmp_path, a=(3, "10.200.5.10-10.200.5.60"), b=(3, "10.200.5.60-10.200.5.110"), none=(3, None))
    picture = tmp_path / "map.svg"
    assert mignet(tmp_path, "plan-addresses", "--svg", str(picture)).returncode == 0
    svg = "{http://www.w3.org/2000/svg}"
    root = ET.fromstring(picture.read_text())
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title desc"
    assert root.find(f"{svg}title") is not None
    assert "10.200.5.0/24: 254 usable addresses, 101 used" in (root.findtext(f"{svg}desc") or "")
    titles = [group.findtext(f"{svg}title") for group in root.iter(f"{svg}g")]
    assert "a: 10.200.5.10-10.200.5.60, 51 addresses" in titles
    assert "free: 10.200.5.2-10.200.5.9, 8 addresses" in titles
    assert "10.200.5.60: a and b both have it" in titles
    assert "prefers-color-scheme: dark" in picture.read_text()
    width, height = (float(root.get(name) or 0) for name in ("width", "height"))
    for rect in root.iter(f"{svg}rect"):
        if rect.get("class") != "ground":
            x, y, w, h = (float(rect.get(name) or 0) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + w <= width
            assert 0 <= y <= y + h <= height


def test_a_map_of_ipv6_fits_80_columns_with_the_longest_addresses(tmp_path: Path) -> None:
    subnet = "fd12:3456:789a:bcde:f012:3456:789a:0/112"
    one = project(tmp_path, segment=f"{{subnet: '{subnet}'}}", dev=(3, None))
    allocate.allocate(one, ["dev"])
    (plan,) = allocate.maps(allocate.read(one))
    lines = list(address_map.as_text(plan))
    assert max(map(len, lines)) <= 80
    assert lines[-2] == "  fd12:3456:789a:bcde:f012:3456:789a:7 - fd12:3456:789a:bcde:f012:3456:789a:fffe"
    assert lines[-1] == "      65,528  free"
    ET.fromstring(address_map.as_svg([plan]))


def test_a_gateway_that_is_reserved_as_well_is_not_given_twice() -> None:
    reserved = [AddressRange.parse("10.200.5.1-10.200.5.9")]
    plan = draw(
        ipaddress.ip_network("10.200.5.0/24"),
        gateway=reserved[0].first,
        reserved=reserved,
        slices={},
    )
    assert not plan.overlaps
    assert plan.kept_free == 9
