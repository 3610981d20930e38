"""The program in this process, as Pulumi's engine calls it."""

from __future__ import annotations

from pathlib import Path

import pulumi
import pytest

from mignet.engines import inline_stack
from mignet.program import stack_program


def written(folder: Path, text: str) -> None:
    (folder / "__main__.py").write_text(text)


def test_it_is_told_its_folder_and_is_read_again_when_it_was_changed(tmp_path: Path) -> None:
    program = inline_stack._program(tmp_path)
    for name in ("one", "other"):
        written(tmp_path, f"from pathlib import Path\nPath(__file__).with_name('{name}').touch()\n")
        program()
        assert (tmp_path / name).exists()
    assert tmp_path == stack_program.FOLDER.get()


def test_a_program_that_ends_itself_has_refused_and_one_that_ends_well_has_not(tmp_path: Path) -> None:
    program = inline_stack._program(tmp_path)
    written(tmp_path, "import sys\nsys.exit(32)\n")
    with pytest.raises(pulumi.RunError, match=inline_stack.REFUSED):
        program()
    written(tmp_path, "import sys\nsys.exit()\n")
    program()
