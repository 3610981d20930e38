"""What a killed Pulumi leaves in a folder of states."""

from __future__ import annotations

from pathlib import Path

import pytest

from mignet.engines.state_folder import emptied


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    folder = tmp_path / ".pulumi" / "stacks" / "net"
    folder.mkdir(parents=True)
    (folder / "dev.json").write_text("{}")
    return folder / "dev.json.attrs"


def test_an_empty_file_beside_a_state_is_removed_and_the_state_stays(beside: Path, tmp_path: Path) -> None:
    beside.write_text("")
    assert emptied({"PULUMI_BACKEND_URL": f"file://{tmp_path}?no_tmp_dir=true"}, "net", "dev") == str(beside)
    assert [path.name for path in beside.parent.iterdir()] == ["dev.json"]


@pytest.mark.parametrize("backend", ["file://{}", "s3://states", ""])
def test_a_file_that_says_something_stays_and_so_does_what_is_no_folder(
    beside: Path, tmp_path: Path, backend: str
) -> None:
    beside.write_text("{}" if backend.startswith("file") else "")
    assert emptied({"PULUMI_BACKEND_URL": backend.format(tmp_path)}, "net", "dev") is None
    assert emptied({}, "net", "dev") is None
    assert beside.exists()
