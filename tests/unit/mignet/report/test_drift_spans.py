"""Drift over time: what looks in a row say of a stack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from mignet.fleet.history import Drifted, Entry
from mignet.report.drift_spans import DAYS, of
from mignet.report.rendering import drift_strip
from mignet.report.rendering.svg import NARROW, WIDE

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def look(stack: str, hours: float, changes: int | None, by: tuple[str, ...] = ()) -> Entry:
    drift = None if changes is None else Drifted(changes, by)
    return Entry((NOW - timedelta(hours=hours)).isoformat(), "drift", stack, "looked", drift=drift)


def test_looks_that_found_the_same_are_one_span_until_the_next_one() -> None:
    looks = [look("a", 10, 0), look("a", 8, 0), look("a", 6, 1, ("x",)), look("a", 4, 3, ("y",)), look("a", 2, None)]
    up = Entry((NOW - timedelta(hours=3)).isoformat(), "up", "a", "done", who="alice")
    (row,) = of(looks, [up], ["a"], NOW).rows
    ago = [(NOW - each.begin, NOW - each.end, each.state, each.looks, each.changes, each.by) for each in row.spans]
    hours = lambda number: timedelta(hours=number)  # noqa: E731
    assert ago == [
        (hours(10), hours(6), "none", 2, 0, ()),
        (hours(6), hours(2), "drifted", 2, 3, ("x", "y")),
        (hours(2), hours(0), "not seen", 1, 0, ()),
    ]
    assert row.drifted == hours(4)
    assert [each.words for each in row.marks] == ["2026-11-27 09:00: up done, by alice"]


def test_what_is_older_than_is_shown_counts_until_the_next_look_and_other_stacks_are_left_out() -> None:
    old = (DAYS + 5) * 24
    looks = [look("a", old, 1), look("a", old - 10, 1), look("a", 5, 0), look("b", 5, 0)]
    found = of(looks, [], ["a"], NOW)
    (row,) = found.rows
    assert [(each.state, each.begin) for each in row.spans] == [
        ("drifted", NOW - timedelta(days=DAYS)),
        ("none", NOW - timedelta(hours=5)),
    ]


def test_those_that_have_drifted_come_first_and_a_time_that_is_none_is_left_out() -> None:
    looks = [look("a", 5, 0), look("b", 5, 1), look("c", 9, 1), Entry("soon", "drift", "d", "looked")]
    assert [row.stack for row in of(looks, [], ["a", "b", "c", "d"], NOW).rows] == ["c", "b", "a"]
    assert of([], [], ["a"], NOW).rows == ()


def test_every_part_of_the_picture_has_its_words_and_nothing_in_it_acts() -> None:
    looks = [look("<b>\x1b", 5, 1, ('"><script>',)), look("a", 5, 0), look("a", 1, None)]
    up = Entry((NOW - timedelta(hours=3)).isoformat(), "up", "a", "done", who="<i>")
    for width in (WIDE, NARROW):
        picture = drift_strip.drawn(of(looks, [up], ["<b>\x1b", "a"], NOW), width=width)
        root = ElementTree.fromstring(picture)
        titles = [each.text or "" for each in root.iter() if each.tag.endswith("title")]
        assert len(titles) == 4
        assert "script" not in {each.tag for each in root.iter()}
        assert any('drift, 1 change by "><script>' in each for each in titles)
