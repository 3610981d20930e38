"""The result as a matrix, for a terminal and for Markdown: a row for each source, a mark for each target."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import typer

from mignet.checkup.result import End
from mignet.outputs.as_markdown import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.checkup.result import PairResult, Result

MOST = 24
"""Nodes up to which each is a row; of more, each pair of clusters is a mark, and each node that is not sound a line."""

_MARKS = {"no answer": "✗", "another machine answers": "≠"}


def lines(result: Result) -> Iterator[str]:
    """Yield the matrix for a terminal, its legend, the round-trip times and the coverage."""
    if result.pairs:
        yield from _table(result, coloured=True)
    yield from summary(result)


def markdown(result: Result) -> str:
    """Return the matrix for a comment on a pull request."""
    return "\n".join(["```text", *_table(result, coloured=False), "```", "", *map(plain, summary(result)), ""])


def summary(result: Result) -> Iterator[str]:
    """Yield what is to be said of the run as a whole: the first broken pair, times, coverage, seed."""
    if (broken := result.first_broken) is not None:
        count = sum(not pair.ok for pair in result.pairs)
        yield f"first broken: {broken.source} → {broken.target}: {broken.reason} ({count} of {len(result.pairs)} paths)"
    times = sorted(pair.rtt_ms for pair in result.pairs if pair.rtt_ms is not None)
    if times:
        yield f"round trip {times[0]:.2f} to {times[-1]:.2f} ms, median {times[len(times) // 2]:.2f} ms"
    streams = sorted(pair.throughput for pair in result.pairs if pair.throughput is not None)
    if streams:
        yield f"throughput {streams[0]:.0f} to {streams[-1]:.0f} Mbit/s on {len(streams)} paths"
    found = result.coverage
    if not found.measured:
        yield "nothing was measured"
        return
    both = ", each node as source and target" if found.measured == found.planned else f" of {found.planned} planned"
    share = f"{found.measured} of {found.possible} paths measured ({found.share:.1%}){both}"
    yield f"{share}; --seed {result.seed} repeats this sample"


def _table(result: Result, *, coloured: bool) -> Iterator[str]:
    ends = [End(cluster.stack, node.name) for cluster in result.clusters for node in cluster.nodes]
    marks = {(pair.source, pair.target): _mark(pair) for pair in result.pairs}
    if len(ends) <= MOST:
        yield from _grid(ends, marks, coloured=coloured)
    else:
        yield from _by_cluster(result, coloured=coloured)
    used = set(marks.values())
    named = {"✗": "no answer", "≠": "another machine", "▪": "ports blocked", "~": "small path MTU"}
    legend = [f"{mark} {named[mark]}" for mark in named if mark in used]
    yield "  ".join(["✓ sound", *legend, "· not measured"])


def _mark(pair: PairResult) -> str:
    if pair.ok or pair.reason is None:
        return "✓"
    for words, mark in _MARKS.items():
        if pair.reason.startswith(words):
            return mark
    return "~" if pair.reason.startswith("path MTU") else "▪"


def _grid(ends: list[End], marks: dict[tuple[End, End], str], *, coloured: bool) -> Iterator[str]:
    """Yield rows of sources; columns are numbered, as names of nodes are long."""
    wide = max((len(str(end)) for end in ends), default=0)
    yield f"{'':>3} {'source':<{wide}}  target"
    yield f"{'':>3} {'':<{wide}}  {' '.join(f'{number:>2}' for number in range(1, len(ends) + 1))}"
    for number, source in enumerate(ends, 1):
        row = [" " if target == source else marks.get((source, target), "·") for target in ends]
        cells = "".join(f"  {_shown(mark, coloured=coloured)}" for mark in row)
        yield f"{number:>3} {source!s:<{wide}}  {cells}".rstrip()


def _by_cluster(result: Result, *, coloured: bool) -> Iterator[str]:
    counts: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for pair in result.pairs:
        of = counts[pair.source.stack, pair.target.stack]
        of[0] += pair.ok
        of[1] += 1
    stacks = [cluster.stack for cluster in result.clusters]
    marks = {key: "✓" if ok == of else "✗" if not ok else "▪" for key, (ok, of) in counts.items()}
    if len(stacks) <= MOST:
        wide = max(map(len, stacks), default=0)
        yield f"{'source':<{max(wide, 6)}}  target: working of measured paths"
        for source in stacks:
            cells = (
                _cell(counts[source, target], marks.get((source, target), "·"), coloured=coloured) for target in stacks
            )
            yield f"{source:<{max(wide, 6)}}  {'  '.join(cells)}".rstrip()
    broken: defaultdict[End, int] = defaultdict(int)
    for pair in result.pairs:
        if not pair.ok:
            broken[pair.source] += 1
            broken[pair.target] += 1
    worst = sorted(broken, key=lambda end: (-broken[end], end))
    for end in worst[:MOST]:
        yield f"  {_shown('✗', coloured=coloured)} {end}: {broken[end]} paths from and to it do not work"
    if len(worst) > MOST:
        yield f"  and {len(worst) - MOST} more nodes"


def _cell(count: list[int], mark: str, *, coloured: bool) -> str:
    text = f"{count[0]}/{count[1]}" if count[1] else ""
    return f"{_shown(mark, coloured=coloured)} {text:<9}"


def _shown(mark: str, *, coloured: bool) -> str:
    if not coloured or mark in {" ", "·"}:
        return mark
    return typer.style(mark, fg="green" if mark == "✓" else "red")
