"""YAML as people write it: keys in the order given, and text of several lines as a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _Writer(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (as the base class has it)
        # Equal parts are written out: nobody reads anchors.
        return True


def _text(writer: _Writer, value: str) -> yaml.Node:
    return writer.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Writer.add_representer(str, _text)


def as_yaml(documents: Iterable[Mapping[str, Any]], *, comment: str = "") -> str:
    """Write documents, under a comment of one or more lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + yaml.dump_all(list(documents), Dumper=_Writer, sort_keys=False, width=120, allow_unicode=True)
