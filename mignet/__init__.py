"""mignet: the operator's tool around the Pulumi program."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

OURS = ("config", "components")
"""The packages beside this one. Their names are common: a user's folder may have modules that are called so, too."""


def _pin() -> None:
    """Import our packages from beside this one, wherever else a module of their name is.

    The folder of a user's program comes first on Python's path. Raises as `_refuse` does when theirs is there first.
    """
    beside = Path(__file__).parents[1]
    for name in OURS:
        there = sys.modules.get(name)
        if there is not None and not _lies_in(beside / name, there):
            where = getattr(there, "__file__", None) or name
            _refuse(f"{where} was imported as {name}, the name of a package of migration-network: rename it")
        if there is None and (spec := PathFinder.find_spec(name, [str(beside)])) and spec.loader:
            sys.modules[name] = module = module_from_spec(spec)
            spec.loader.exec_module(module)
    sys.meta_path.append(_NotOurs())


def _lies_in(folder: Path, module: ModuleType) -> bool:
    return any(Path(each).resolve() == folder.resolve() for each in getattr(module, "__path__", ()))


class _NotOurs:
    """Asked last: says what is wrong when a program wants a module of its own out of a package that is ours."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        package, dot, _ = name.partition(".")
        if dot and package in OURS and path == list(sys.modules[package].__path__):
            _refuse(f"{name} is not there: {package} is a package of migration-network. Rename yours, if you have one")


def _refuse(message: str) -> NoReturn:
    """Raise what Pulumi shows as one line, where this is a program of its; ImportError elsewhere."""
    pulumi = sys.modules.get("pulumi")
    raise getattr(pulumi, "RunError", ImportError)(message)


_pin()


def main() -> NoReturn:
    """Run the command line; until it has been imported, ctrl-c ends it without a word."""
    import signal

    # A shell that starts it in the background has ctrl-c ignored, and that stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mignet.cli import main as run

    run()
