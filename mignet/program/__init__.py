"""What the Pulumi program needs around its component: its config, and the guards, in Pulumi's own terms.

The names that `__main__.py` uses come with Pulumi itself, a fifth of a start; the guards alone come without it.
The component is here for a program whose folder has a `components` of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.migration_network import MigrationNetwork
    from mignet.program.stack_program import guard, handlers, load, look_beside, nodes, noted, unguarded

__all__ = ["MigrationNetwork", "guard", "handlers", "load", "look_beside", "nodes", "noted", "unguarded"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module {__name__} has no attribute {name}"
        raise AttributeError(msg)
    if name == "MigrationNetwork":
        from components.migration_network import MigrationNetwork

        return MigrationNetwork
    from mignet.program import stack_program

    return getattr(stack_program, name)
