"""What a check found, in the forms that people and tools read: the same values, one file a form."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mignet.fleet.results import Checked

Output = Literal["table", "json", "sarif", "github", "markdown"]


def _rendering(output: Output) -> Callable[[Checked, Path], str]:
    def render(checked: Checked, base: Path) -> str:
        # One form is wanted, and each has its libraries.
        text: str = import_module(f"mignet.outputs.as_{output}").render(checked, base)
        return text

    return render


RENDER: dict[Output, Callable[[Checked, Path], str]] = {output: _rendering(output) for output in get_args(Output)}
"""The renderings by name: each takes what was found and the folder that paths are relative to."""
