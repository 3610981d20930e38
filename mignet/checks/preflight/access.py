"""Whether the user of a stack's context has the rights that looking and applying take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import Finding, rule
from mignet.kube.rbac import grouped, to_apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checks.preflight.seen import Seen


@rule("right-missing")
def right_missing(seen: Seen) -> Iterator[Finding]:
    """A right that is missing shows halfway through otherwise, when a part of the network stands already."""
    missing = seen.missing_rights
    if not missing:
        return
    applying = to_apply(seen.stack).intersection(missing)
    rest = "" if applying else "; looking at the cluster takes them, applying does not"
    role = "apply" if applying else "observe"
    yield Finding(
        f"context {seen.stack.cluster.context}",
        None,
        f"may not{f' ({len(missing)} rights)' if len(missing) > 1 else ''}: {'; '.join(grouped(missing))}{rest}",
        f"Ask the cluster's administrator for the rights that mignet export role {role} {seen.stack.name} writes",
        severity="error" if applying else "warning",
    )


RULES = (right_missing,)
