"""A program of a user's own, on both engines and with plain Pulumi."""

from __future__ import annotations

import pytest
from support import Workspace

OWN = """import made_here

from mignet import program
"""


def own(workspace: Workspace) -> None:
    """Let the program import a module that lies beside it."""
    (workspace.folder / "made_here.py").write_text("NAME = 'made here'\n")
    path = workspace.folder / "__main__.py"
    text = path.read_text().replace("from mignet import program\n", OWN)
    path.write_text(text + "pulumi.export('own', made_here.NAME)\n")


def packages_of_that_name(workspace: Workspace) -> None:
    """Put packages beside the program that are called as ours are."""
    for name in ("config", "components"):
        (workspace.folder / name).mkdir()
        (workspace.folder / name / "__init__.py").write_text("raise SystemExit('the user's own')\n")
        (workspace.folder / name / "settings.py").write_text("")


def test_packages_that_are_called_as_ours_do_not_shadow_them(workspace: Workspace, engine: str) -> None:
    packages_of_that_name(workspace)
    outcome = workspace.mignet("up", engine)
    assert outcome.code == 0, outcome.out + outcome.err


@pytest.mark.pulumi
def test_nor_do_they_with_plain_pulumi(workspace: Workspace) -> None:
    packages_of_that_name(workspace)
    workspace.run("pulumi", "stack", "init", workspace.stack)
    plain = workspace.run("pulumi", "preview", "--non-interactive", "--stack", workspace.stack)
    assert plain.code == 0, plain.out + plain.err
    assert "NetworkAttachmentDefinition attachment-migration create" in plain.out, plain.out


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.pulumi
def test_a_program_that_wants_its_own_is_told_to_rename_it(workspace: Workspace, place: str) -> None:
    packages_of_that_name(workspace)
    (workspace.folder / "config" / "__init__.py").write_text("")
    path = workspace.folder / "__main__.py"
    wanted, line = "import config.settings\n", "from mignet import program\n"
    path.write_text(path.read_text().replace(line, wanted + line if place == "before" else line + wanted))
    workspace.run("pulumi", "stack", "init", workspace.stack)
    said = {"before": "was imported as config", "after": "config.settings is not there: config is a package of"}
    plain = workspace.run("pulumi", "preview", "--non-interactive", "--stack", workspace.stack)
    assert plain.code != 0
    assert said[place] in plain.out + plain.err
    assert "Traceback" not in plain.out + plain.err
    for engine in ("direct", "pulumi"):
        refused = workspace.mignet("preview", engine)
        assert refused.code != 0
        (report,) = refused.reports
        assert said["after"] in report["error"] + refused.err, refused.out + refused.err
        assert "Traceback" not in refused.err


def test_it_imports_what_lies_beside_it(workspace: Workspace, engine: str) -> None:
    own(workspace)
    outcome = workspace.mignet("up", engine)
    assert outcome.code == 0, outcome.out + outcome.err
    again = workspace.mignet("preview", engine, "--expect-no-changes")
    assert again.code == 0, again.out + again.err


@pytest.mark.pulumi
def test_plain_pulumi_goes_on_where_mignet_left(workspace: Workspace) -> None:
    own(workspace)
    assert workspace.mignet("up", "pulumi").code == 0
    plain = workspace.run("pulumi", "preview", "--non-interactive", "--expect-no-changes", "--stack", workspace.stack)
    assert plain.code == 0, plain.out + plain.err


def test_a_program_that_ends_itself_is_a_mistake_in_it(workspace: Workspace, engine: str) -> None:
    path = workspace.folder / "__main__.py"
    path.write_text("import pulumi, sys\npulumi.log.error('not today')\nsys.exit(32)\n")
    refused = workspace.mignet("up", engine)
    assert refused.code in {1, 2}, refused.out + refused.err
    (report,) = refused.reports
    assert "the program ended itself with 32" in report["error"], refused.out + refused.err
    assert "not today" in refused.err
    assert "Traceback" not in refused.err
