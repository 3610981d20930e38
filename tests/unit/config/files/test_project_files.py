"""Pulumi.yaml and the stack files are read as the Pulumi CLI reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import ROOT

from config.files.fleet_files import read_fleet
from config.files.project_files import Project, ProjectNotFoundError
from config.finding import ConfigError
from mignet.fleet.loading import load

PROJECT = """
name: migration-network
runtime: python
config:
  segment: {type: object, default: {subnet: 10.200.5.0/24, vlan: 5}}
  plain: text
  typed: {type: string}
  aws:region: {value: x}
"""


def project(folder: Path, content: str = PROJECT, **stacks: str) -> Project:
    (folder / "Pulumi.yaml").write_text(content)
    for name, text in stacks.items():
        (folder / f"Pulumi.{name}.yaml").write_text(text)
    return Project.find(folder)


def mistake(folder: Path, stack: str) -> str:
    with pytest.raises(ConfigError) as caught:
        Project.find(folder).stack_values(stack)
    (finding,) = caught.value.findings
    return str(finding)


def test_a_stack_has_the_projects_values_unless_its_file_sets_the_whole_key(tmp_path: Path) -> None:
    one = project(
        tmp_path,
        a="config: {migration-network:slice: {rangeStart: x}}",
        b="config: {segment: {subnet: 10.9.0.0/24}, other:key: 1}",
    )
    assert one.stack_values("a") == {
        "segment": {"subnet": "10.200.5.0/24", "vlan": 5},
        "plain": "text",
        "slice": {"rangeStart": "x"},
    }
    assert one.stack_values("b") == {"segment": {"subnet": "10.9.0.0/24"}, "plain": "text"}


def test_a_key_that_was_copied_from_a_project_of_another_name_is_a_mistake(tmp_path: Path) -> None:
    project(tmp_path, "name: prod-net", dev="config: {migration-network:cluster: {context: dev}, other:key: 1}")
    assert mistake(tmp_path, "dev") == (
        "dev: migration-network:cluster is not read: Pulumi.yaml calls the project prod-net, with which its keys begin."
        " Write prod-net:cluster, and so with all others"
    )


def test_the_stacks_are_those_that_have_a_file(tmp_path: Path) -> None:
    assert project(tmp_path, b="", a="", **{"a.b": ""}).stack_names() == ["a", "a.b", "b"]


def test_the_project_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    project(tmp_path)
    below = tmp_path / "x" / "y"
    below.mkdir(parents=True)
    assert Project.find(below).directory == tmp_path


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFoundError, match=r"no Pulumi.yaml in .* or above it; change into"):
        Project.find(tmp_path)


def test_text_that_older_yaml_takes_for_something_else_stays_text(tmp_path: Path) -> None:
    """As Pulumi reads it: no sexagesimal numbers, no yes and no."""
    one = project(tmp_path, a="config: {segment: {a: yes, b: 12:30, c: 2026-13-02-x, f: on, g: true}}")
    assert one.stack_values("a")["segment"] == {
        "a": "yes",
        "b": "12:30",
        "c": "2026-13-02-x",
        "f": "on",
        "g": True,
    }


def test_anchors_aliases_merges_and_quotes_mean_what_they_mean_in_yaml(tmp_path: Path) -> None:
    text = """config:
  segment: &s {subnet: 10.0.0.0/24, mtu: 9000}
  same: *s
  merged: {<<: *s, mtu: 1500}
  quoted: {a: "5", b: 'true', c: ""}
  typed: {a: !!str 5, b: !!int "5", c: , d: ~, 5: x, e: 1.5, f: 0x10}
"""
    segment = {"subnet": "10.0.0.0/24", "mtu": 9000}
    assert project(tmp_path, a=text).own_values("a") == {
        "segment": segment,
        "same": segment,
        "merged": segment | {"mtu": 1500},
        "quoted": {"a": "5", "b": "true", "c": ""},
        "typed": {"a": "5", "b": 5, "c": None, "d": None, "5": "x", "e": 1.5, "f": 16},
    }


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("config:\n  a: 1\n  a: 2\n", "dev: Pulumi.dev.yaml:3:3 is not YAML: the key a occurs twice in one mapping."),
        ("config: [\n", "dev: Pulumi.dev.yaml:2:1 is not YAML: "),
        ("config: {a: &x 1}\nb: *y\n", "dev: Pulumi.dev.yaml:2:4 is not YAML: found undefined alias"),
        (
            "config: &x {a: [*x]}\n",
            "dev: Pulumi.dev.yaml:1:9 is not YAML: a value stands inside itself. Fix that line",
        ),
        ("- a\n", 'dev: Pulumi.dev.yaml ["a"] is not a mapping. Write key: value lines'),
        ("config: text\n", "dev: config text is not a mapping. Write key: value lines under it"),
        (
            "config: {slice: {secure: abc}}\n",
            "dev: slice {secure: …} is encrypted. Nothing here is secret: write it in plain text",
        ),
        (
            "config: !!python/object:os.system {}\n",
            "dev: Pulumi.dev.yaml:1:9 has the tag !!python/object:os.system, which",
        ),
        ("a: \x07\n", "dev: Pulumi.dev.yaml is not YAML: "),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: str, line: str) -> None:
    project(tmp_path, dev=content)
    assert mistake(tmp_path, "dev").startswith(line)


def test_a_file_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_bytes(b"config: \xff\n")
    assert mistake(tmp_path, "dev") == "dev: Pulumi.dev.yaml is not UTF-8 text. Save it as UTF-8"


def test_a_stack_without_a_file_is_one_line_with_those_that_have_one(tmp_path: Path) -> None:
    project(tmp_path, dev="", prod="")
    assert mistake(tmp_path, "stage") == "stage: Pulumi.stage.yaml does not exist. Stacks with a file: dev, prod"


def test_the_shipped_stacks_are_valid_and_disjoint() -> None:
    from config.loading import load_stack

    shipped = Project.find(ROOT)
    dev, peer = (load_stack(name, shipped.stack_values(name)) for name in ("dev", "dev-peer"))
    assert dev.segment == peer.segment
    assert not dev.span.overlaps(peer.span)


ESC = """\
environment: [migration-network/prod]
secretsprovider: awskms://alias/migration-network?region=eu-1
encryptedkey: AQICAHg=
config:
  migration-network:cluster: {context: a}
"""


def test_what_pulumi_keeps_in_a_stack_file_is_no_mistake_and_a_missing_key_names_the_environment(
    tmp_path: Path,
) -> None:
    (tmp_path / "Pulumi.yaml").write_text(
        "name: migration-network\nconfig: {segment: {default: {subnet: 10.200.5.0/24}}}\n"
    )
    (tmp_path / "Pulumi.a.yaml").write_text(ESC)
    project = Project.find(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(project, ["a"])
    assert str(caught.value) == (
        "a: attachment is required, and not in this file; what its environment of Pulumi ESC gives is not visible"
        " offline. Write it here: what a stack declares is reviewed in git"
    )
    assert [str(each) for each in read_fleet(project).findings] == [str(caught.value)]
    attachment = "  migration-network:attachment: {type: macvlan, name: migration, master: eth1}\n"
    (tmp_path / "Pulumi.a.yaml").write_text(ESC + attachment)
    assert [stack.name for stack in load(project, ["a"])] == ["a"]
