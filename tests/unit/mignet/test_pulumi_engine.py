"""What the Pulumi engine reports where Pulumi itself is not asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.project_files import Project
from config.stack import load_stack
from mignet.changes import Report
from mignet.engines import pulumi_engine


@pytest.mark.parametrize("verb", ["preview", "up", "destroy"])
def test_a_stack_that_the_guards_refuse_is_reported_by_the_engine_that_was_asked(verb: str) -> None:
    project = Project.find(Path(__file__).parents[3])
    stack = load_stack("dev", project.stack_values("dev"))
    refused = Report("dev", verb, "direct", error="dev: not fit")
    (report,) = pulumi_engine.run(project, [stack], verb, [refused], confirm=None, read_back=lambda reports: reports)
    assert (report.engine, report.error) == ("pulumi", "dev: not fit")
