"""The history for a terminal: when, what, how it ended, and who; and of a plan, what became what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.finding import few, shown, visible
from mignet.kube.objects import lasting
from mignet.outputs import plan_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mignet.fleet.history import Entry, Kept

MOST_FIELDS = 5
"""Of one object, where nobody asks for more."""
_SIGNS = {"create": "+", "update": "~", "delete": "-", "relinquish": "-"}


def lines(entries: Iterable[Entry], *, verbose: bool) -> Iterator[str]:
    """Yield a block for each entry, in the order given."""
    for each in entries:
        when = each.time.replace("T", " ").removesuffix("Z").partition(".")[0]
        yield visible(f"{when}  {each.stack}  {ended(each)}  {by(each)}")
        yield from (visible(f"    {line}") for line in _more(each, verbose=verbose))


def ended(entry: Entry) -> str:
    """Say what was done, and how it ended."""
    if entry.is_look:
        return f"drift: {found(entry)}"
    verb = f"Pulumi: {entry.verb}" if entry.source == "pulumi" else entry.verb
    took = f" in {lasting(entry.seconds)}" if entry.seconds is not None and entry.outcome != "not started" else ""
    outcome = "begun, and not ended" if entry.outcome == "begun" else entry.outcome
    return f"{verb} {outcome}{took}"


def found(entry: Entry) -> str:
    """Say what a look at drift found."""
    if entry.drift is None:
        return "could not be looked at"
    if not entry.drift.changes and not entry.drift.codes:
        return "none"
    count = entry.drift.changes
    what = [f"{count} change{'' if count == 1 else 's'}"] if count else []
    what += [few(entry.drift.codes)] if entry.drift.codes else []
    by_whom = f", by {few(entry.drift.by)}" if entry.drift.by else ""
    return f"{'; '.join(what)}{by_whom}"


def by(entry: Entry) -> str:
    """Say who did it, and how that is known where it is not the account."""
    if entry.source == "pulumi":
        return (
            f"by a mignet whose history is not here (run {entry.run})" if entry.run else "by whom, Pulumi does not say"
        )
    host = f" on {entry.host}" if entry.host else ""
    if entry.known in {"system", ""}:
        return f"by {entry.who or 'somebody'}{host}"
    return f"by {entry.who} ({entry.known}; account {entry.account}{host})"


def _more(entry: Entry, *, verbose: bool) -> Iterator[str]:
    for change in entry.changes:
        yield f"{_SIGNS.get(change.operation, '~')} {change.key}"
        fields = [each for each in change.fields if verbose or plan_form.is_said(change, each)]
        most = len(fields) if verbose else MOST_FIELDS
        for each in fields[:most]:
            yield f"    {each.path}: {shown(each.old)} → {shown(each.new)}"
        if len(fields) > most:
            yield f"    and {len(fields) - most} more fields (--verbose)"
    if entry.cut:
        yield f"and {entry.cut} more, which were too many to be kept"
    if entry.said:
        yield from entry.said.splitlines() if verbose else [entry.said.partition("\n")[0]]
    if verbose:
        yield ", ".join(filter(None, _origin(entry)))


def _origin(entry: Entry) -> Iterator[str]:
    if entry.version:
        yield f"mignet {entry.version}"
    if entry.engine:
        yield f"engine {entry.engine}"
    if entry.context:
        yield f"context {entry.context}" + (f" (UID {entry.uid})" if entry.uid else "")
    if entry.commit:
        state = {True: ", with changes that are in no commit", False: "", None: ""}[entry.dirty]
        yield f"commit {entry.commit[:12]}{state}"
    if entry.number:
        yield f"line {entry.number}"


def checked(chains: Sequence[Kept]) -> Iterator[str]:
    """Yield for each chain how many lines fit together, and its head, which can be kept elsewhere."""
    for each in chains:
        found, name = each.read, each.chain.name
        count = len(found.hashes)
        whole = "fit together" if found.problem is None else "were read, and they do not fit together"
        yield visible(f"{name}: {count} line{'' if count == 1 else 's'} {whole}" if count else f"{name}: no lines")
        if count and found.problem is None:
            yield visible(f"    head: {found.head} (number {found.number})")
