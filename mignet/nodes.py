"""The old name of `mignet.program.providers`, which Pulumi's states hold: it stays until 1.0, for their `destroy`.

Pulumi pickles a dynamic provider by the name of its module, and deletes by what it pickled.
"""

from mignet.program.providers import Handlers, Nodes

__all__ = ["Handlers", "Nodes"]
