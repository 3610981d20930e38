"""Setting or removing one key of a stack file changes the lines of that key, and no other byte."""

from __future__ import annotations

import difflib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.files.yaml_edit import NotEditableError, with_key, without_key

PROJECT = "migration-network"
SLICE = {"rangeStart": "10.200.5.70", "rangeEnd": "10.200.5.99"}

ODD = """\
# yaml-language-server: $schema=stack.schema.json

# The east wing.   Trailing blanks follow:   \nconfig:
    migration-network:cluster:   {context: &name "dev",   namespace: openshift-cnv}  # one line
    other:key:    {a:   1}


    migration-network:attachment: # where pods attach
        type:   'macvlan'
        name: *name
        master: eth1

    # The part of this cluster.
    migration-network:slice:          # both ends inclusive
        rangeStart:    '10.200.5.10'     # first
        # a comment inside
        rangeEnd: "10.200.5.60"
    # What comes next.
    migration-network:hyperConverged: &limits
        liveMigration: {progressTimeout:   150,}
environment: [ a,   b ]
# the end"""


def changed_lines(old: str, new: str) -> list[str]:
    lines = difflib.ndiff(old.splitlines(keepends=True), new.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def set_slice(text: str, value: object = SLICE) -> str:
    return with_key(text, PROJECT, "slice", value, after="attachment")  # type: ignore[arg-type]


def config(text: str) -> dict[str, object]:
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in yaml.safe_load(text)["config"].items()}


def test_only_the_two_addresses_change_and_keep_their_quotes_and_comments() -> None:
    assert changed_lines(ODD, set_slice(ODD)) == [
        "-         rangeStart:    '10.200.5.10'     # first\n",
        "+         rangeStart:    '10.200.5.70'     # first\n",
        '-         rangeEnd: "10.200.5.60"\n',
        '+         rangeEnd: "10.200.5.99"\n',
    ]


def test_an_address_that_stays_is_not_touched() -> None:
    new = set_slice(ODD, {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.99"})
    assert len(changed_lines(ODD, new)) == 2


def test_removing_takes_the_lines_of_the_key_and_the_comments_in_it() -> None:
    assert changed_lines(ODD, without_key(ODD, PROJECT, "slice")) == [
        "-     migration-network:slice:          # both ends inclusive\n",
        "-         rangeStart:    '10.200.5.10'     # first\n",
        "-         # a comment inside\n",
        '-         rangeEnd: "10.200.5.60"\n',
    ]


def test_a_new_slice_comes_after_the_attachment_in_the_manner_of_the_file() -> None:
    bare = without_key(ODD, PROJECT, "slice")
    assert changed_lines(bare, set_slice(bare)) == [
        "+     migration-network:slice:\n",
        "+       rangeStart: 10.200.5.70\n",
        "+       rangeEnd: 10.200.5.99\n",
    ]
    assert list(config(set_slice(bare))).index("slice") == list(config(bare)).index("attachment") + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "config:\n  attachment: {a: 1}",
            "config:\n  attachment: {a: 1}\n  slice:\n    rangeStart: x\n    rangeEnd: y",
        ),
        (
            "config:\r\n  cluster: 1\r\n",
            "config:\r\n  cluster: 1\r\n  slice:\r\n    rangeStart: x\r\n    rangeEnd: y\r\n",
        ),
        ("config: {attachment: 1, b: 2}\n", "config: {attachment: 1, slice: {rangeStart: x, rangeEnd: y}, b: 2}\n"),
        ("config: {attachment: 1,}\n", "config: {attachment: 1, slice: {rangeStart: x, rangeEnd: y},}\n"),
        ("config:\n  slice:\n  b: 1\n", "config:\n  slice: {rangeStart: x, rangeEnd: y}\n  b: 1\n"),
        ("config:\n  slice: # none\n", "config:\n  slice: {rangeStart: x, rangeEnd: y} # none\n"),
        ("config:\n  slice: {rangeStart: a}\n", "config:\n  slice: {rangeStart: x, rangeEnd: y}\n"),
        ("config:\n  slice: '{}'\n", "config:\n  slice: {rangeStart: x, rangeEnd: y}\n"),
        ("config:\n  slice:\n    rangeStart: a\n", "config:\n  slice:\n    rangeStart: x\n    rangeEnd: y\n"),
        (
            "config:\n  slice: {rangeStart: &a 1, rangeEnd: *a}\n",
            "config:\n  slice: {rangeStart: &a x, rangeEnd: y}\n",
        ),
        (
            "a: &s {rangeStart: 1, rangeEnd: 2}\nconfig: {slice: *s}\n",
            "a: &s {rangeStart: 1, rangeEnd: 2}\nconfig: {slice: {rangeStart: x, rangeEnd: y}}\n",
        ),
        (
            "config:\n  attachment:\n    note: |\n      text\n\n  # next\n  b: 1\n",
            "config:\n  attachment:\n    note: |\n      text\n"
            "  slice:\n    rangeStart: x\n    rangeEnd: y\n\n  # next\n  b: 1\n",
        ),
        ("\ufeffconfig: {slice: 1}\n", "\ufeffconfig: {slice: {rangeStart: x, rangeEnd: y}}\n"),
    ],
)
def test_it_is_written_where_and_how_the_file_has_it(text: str, expected: str) -> None:
    assert set_slice(text, {"rangeStart": "x", "rangeEnd": "y"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config: {a: 1, slice: {b: 2}, c: 3}\n", "config: {a: 1, c: 3}\n"),
        ("config: {a: 1, slice: {b: 2}}\n", "config: {a: 1}\n"),
        ("config: {slice: {b: 2}}\n", "config: {}\n"),
        ("config:\n  a: 1\n  slice: {b: 2}", "config:\n  a: 1\n"),
        ("config:\n  a: 1\n  slice:\n", "config:\n  a: 1\n"),
        ("config:\n  a: 1\n", "config:\n  a: 1\n"),
        ("config:\n  slice: {b: 2} # why\n# end\n", "config:\n# end\n"),
    ],
)
def test_it_is_removed_with_its_comma_or_its_lines(text: str, expected: str) -> None:
    assert without_key(text, PROJECT, "slice") == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("config: {slice: &s {rangeStart: x}, b: *s}\n", "has an anchor that another key repeats"),
        ("config: {slice: {rangeStart: &s x}, b: *s}\n", "has an anchor that another key repeats"),
        ("config:\n", "is in a file without a mapping config"),
        ("a: 1\n", "is in a file without a mapping config"),
        ("", "is in a file without a mapping config"),
    ],
)
def test_what_would_change_something_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(NotEditableError, match=reason):
        set_slice(text)


def test_addresses_that_yaml_takes_for_something_else_get_quotes() -> None:
    text = set_slice("config:\n  a: 1\n", {"rangeStart": "fd00:0:0:1::", "rangeEnd": "2001:10:1:2:3:4:5:6"})
    assert text == 'config:\n  a: 1\n  slice:\n    rangeStart: "fd00:0:0:1::"\n    rangeEnd: "2001:10:1:2:3:4:5:6"\n'


def test_a_list_of_slices_is_edited_in_place_too() -> None:
    old = "config:\n  slice:\n    - {rangeStart: a,   rangeEnd: b} # v4\n    - {rangeStart: c, rangeEnd: d}\n"
    value = [{"rangeStart": "a", "rangeEnd": "e"}, {"rangeStart": "c", "rangeEnd": "f"}]
    new = "config:\n  slice:\n    - {rangeStart: a,   rangeEnd: e} # v4\n    - {rangeStart: c, rangeEnd: f}\n"
    assert set_slice(old, value) == new


scalars = st.sampled_from(["1", "'x'", '"y"', "[1,  2]", "{a: 1}", "|\n      text\n", "\n    b: 1 # c", ""])
comments = st.sampled_from(["", " # why", "\n", "\n\n  # next", "   "])


@given(st.lists(st.tuples(scalars, comments), min_size=1, max_size=5), st.sampled_from([0, 1]))
def test_setting_and_removing_again_gives_the_very_same_text(entries: list[tuple[str, str]], newlines: int) -> None:
    text = "config:\n"
    for index, (value, comment) in enumerate(entries):
        key = "attachment" if index == 1 else f"key{index}"
        text += f"  {key}: {value}{'' if value.startswith('|') else comment}\n"
    # A block of text that ends the file without a line end would get one: that is refused.
    text = text.rstrip("\n") + "\n" * max(newlines, entries[-1][0].startswith("|"))
    if isinstance(yaml.safe_load(text), dict):
        once = set_slice(text)
        assert config(once) == {**config(text), "slice": SLICE}
        again = without_key(once, PROJECT, "slice")
        assert again == text or again == text + "\n"
