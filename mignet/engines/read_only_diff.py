"""What is declared against what stands on the cluster, for whoever may read and not write.

Nothing is asked of the API server, so its defaults for fields that are no longer declared are not known here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from components.ownership import FIELD_MANAGER
from mignet.kube.diff import FieldChange, declared_differences, differences
from mignet.kube.managed_fields import owned_paths, writer_of
from mignet.kube.objects import value_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.kube.kinds import Object


def compared(declared: Object, live: Object, *, owned_by: Object) -> Iterator[FieldChange]:
    """Yield what an apply of `declared` would change, fields that would become ours and no longer ours included.

    `owned_by` is the live object with its managedFields.
    """
    seen = set()
    for each in declared_differences(declared, live):
        seen.add(each.field)
        by = writer_of(owned_by, each.field, ours=FIELD_MANAGER)
        taken = by is not None and by.owns and by.manager != FIELD_MANAGER
        yield replace(each, owner=by.manager if by and taken else None, by=by)
    ours = {path for path in owned_paths(owned_by, FIELD_MANAGER) if not path.startswith("metadata.")}
    leaves = {each.path: each.new for each in differences({}, declared) if not each.path.startswith("metadata.")}
    for path, value in sorted(leaves.items()):
        if path not in {*ours, *seen, "apiVersion", "kind"} and not isinstance(value, list):
            yield FieldChange(path, value, value, by=writer_of(owned_by, path, ours=FIELD_MANAGER))
    for path in sorted(ours - leaves.keys()):
        yield FieldChange(path, value_at(live, path), None, by=writer_of(owned_by, path, ours=FIELD_MANAGER))
