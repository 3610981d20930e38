"""What a watch knows as metrics: what each verb last said of each stack, and how the watch itself is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from mignet.outputs import openmetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mignet.outputs.openmetrics import Look
    from mignet.watch.fleet import Fleet, Watching
    from mignet.watch.webhook import Webhook

Family = tuple[str, str, str, list[tuple[str, float]]]
"""Name, kind and help of a metric, and its samples: labels as they are written, and values."""
STATES = ("kept", "lost", "starting")


def render(fleet: Fleet, webhook: Webhook | None) -> str:
    """Write them in the text of OpenMetrics 1.0."""
    body = openmetrics.render(look for one in fleet.stacks.values() for look in _looks(one))
    own = "".join(
        f"{line}\n"
        for name, kind, says, samples in _own(fleet, webhook)
        for line in openmetrics.family(name, kind, says, samples, unit="seconds" if name.endswith("_seconds") else "")
    )
    return body.removesuffix("# EOF\n") + own + "# EOF\n"


def _looks(one: Watching) -> Iterator[Look]:
    for verb, judged in (("drift", one.drift), *one.rarely):
        if one.lost is not None:
            yield openmetrics.Look(one.stack.name, verb, not_judged=None, reachable=False, when=judged.when)
            continue
        if judged.when is None:
            continue
        if verb == "drift" and one.report is not None:
            yield openmetrics.of_report(one.report, when=judged.when, seconds=judged.seconds)
            continue
        look = openmetrics.look_of(
            one.stack.name,
            verb,
            judged.findings,
            not_judged=judged.not_judged,
            when=judged.when,
            seconds=judged.seconds,
        )
        if verb == "peers" and one.ready_to is not None:
            look = replace(look, paths=one.ready_to[0], ready=one.ready_to[1])
        yield look


def _own(fleet: Fleet, webhook: Webhook | None) -> Iterator[Family]:
    stacks = list(fleet.stacks.values())
    states = Counter(each.state for each in stacks)
    by_state = [(f'{{state="{state}"}}', float(states[state])) for state in STATES]
    yield "mignet_watch_stacks", "gauge", "Stacks by how they are watched.", by_state
    refused = [("", float(len(fleet.refused)))]
    yield "mignet_watch_refused_files", "gauge", "Files of stacks, or of the project, that cannot be read.", refused

    def each(values: Iterable[tuple[str, float | None]]) -> list[tuple[str, float]]:
        return [(f'{{stack="{openmetrics.label(name)}"}}', value) for name, value in values if value is not None]

    tallies = [(one.stack.name, one.kept.tally) for one in stacks]
    last = each((name, tally.last) for name, tally in tallies)
    yield "mignet_watch_last_event_timestamp_seconds", "gauge", "When a watch last told something, in Unix time.", last
    objects = each((one.stack.name, float(one.kept.objects)) for one in stacks)
    yield "mignet_watch_objects", "gauge", "Objects that the watches keep.", objects
    events = each((name, float(tally.events)) for name, tally in tallies)
    yield "mignet_watch_events", "counter", "Changes of objects that the watches told.", events
    relists = each((name, float(tally.relists)) for name, tally in tallies)
    yield "mignet_watch_relists", "counter", "Lists that were made anew, as a watch had expired or broken.", relists
    errors = each((name, float(tally.errors)) for name, tally in tallies)
    yield "mignet_watch_errors", "counter", "Requests of the watches that failed.", errors
    yield "mignet_watch_judgements", "counter", "Judgements of stacks.", [("", float(fleet.judgements))]
    yield (
        "mignet_watch_failures",
        "counter",
        "Judgements that a fault of mignet itself ended.",
        [("", float(fleet.failures))],
    )
    if webhook is not None:
        for name, value, what in (
            ("sent", webhook.sent, "Changes that the webhook took."),
            ("failures", webhook.failures, "Attempts to send a change to the webhook that failed."),
            ("dropped", webhook.dropped, "Changes that the webhook did not take, or that there was no room for."),
        ):
            yield f"mignet_watch_webhook_{name}", "counter", what, [("", float(value))]
