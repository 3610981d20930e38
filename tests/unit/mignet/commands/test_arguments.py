"""Stacks on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.files.project_files import Project
from config.finding import ConfigError
from mignet.commands.arguments import chosen
from mignet.fleet.loading import load


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "Pulumi.yaml").write_text("name: migration-network\n")
    for name, labels in {"dev": None, "prod-1": {"tier": "canary"}, "prod-2": {"tier": "rest"}}.items():
        config = {"migration-network:labels": labels} if labels else {}
        (tmp_path / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))
    return Project.find(tmp_path)


def test_patterns_and_labels_choose_among_the_stacks_that_have_a_file(project: Project) -> None:
    assert chosen(project, ["prod-*"], all_=False) == ["prod-1", "prod-2"]
    assert chosen(project, ["prod-2", "prod-?"], all_=False) == ["prod-2", "prod-1"]
    assert chosen(project, None, all_=False, select="tier") == ["prod-1", "prod-2"]
    assert chosen(project, None, all_=True, select="tier!=canary") == ["dev", "prod-2"]
    assert chosen(project, ["prod-*"], all_=False, select="tier=canary") == ["prod-1"]
    assert chosen(project, ["unknown"], all_=False) == ["unknown"], "whoever reads its file says that there is none"


@pytest.mark.parametrize(
    ("names", "select", "sentence"),
    [
        (["stage-*"], None, "mignet: STACK stage-* matches no stack that has a file. Stacks: dev, prod-1, prod-2"),
        (None, "tier=gold", "mignet: --select tier=gold selects no stack. Labels stand in the stack files"),
        (None, "tier is", "mignet: --select tier is is no selector of labels. Write it as tier=canary"),
    ],
)
def test_what_chooses_nothing_is_a_mistake(
    project: Project, names: list[str] | None, select: str | None, sentence: str
) -> None:
    with pytest.raises(ConfigError) as mistake:
        chosen(project, names, all_=False, select=select)
    assert str(mistake.value).startswith(sentence)


def test_labels_that_are_none_are_a_mistake_of_the_stack(project: Project) -> None:
    project.stack_file("dev").write_text("config: {labels: [x]}\n")
    # It may be one of those that are meant, so that whoever reads it says why not.
    names = chosen(project, None, all_=False, select="tier")
    with pytest.raises(ConfigError, match="dev: labels"):
        load(project, names)
