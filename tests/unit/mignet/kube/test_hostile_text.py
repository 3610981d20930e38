"""What others left in a kubeconfig, or in an object of a cluster, is read, or refused in a sentence."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from pathlib import Path
from typing import Any

import hostile
import mutations
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.cluster import Cluster
from config.types.json_text import parse_json
from mignet.checks.preflight.other_pools import plugins
from mignet.checkup.probe_protocol import read_report
from mignet.kube.kubeconfig import KubeconfigError, connection
from mignet.kube.kubevirt.pods import read_link
from mignet.kube.network.cni_configuration import meaning, meaning_changes
from mignet.operations.adopting import NotKeptError, _config, _written

PLACES = ["contexts", "clusters", "users"]
PLACES += [f"contexts.0{each}" for each in ("", ".name", ".context", ".context.cluster", ".context.user")]
PLACES += [f"clusters.0{each}" for each in ("", ".name", ".cluster", ".cluster.server")]
PLACES += [f"users.0{each}" for each in ("", ".user", ".user.exec", ".user.exec.args", ".user.exec.env")]


def refused(folder: Path) -> str:
    with pytest.raises(KubeconfigError) as caught:
        connection(Cluster(context="c", kubeconfig="bad"), folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [*hostile.STACKS, *hostile.KINDS])
def test_no_kubeconfig_is_more_than_a_sentence(tmp_path: Path, name: str) -> None:
    if name == "unreadable" and os.getuid() == 0:
        pytest.skip("root reads all")
    if name in hostile.KINDS:
        hostile.KINDS[name](tmp_path / "bad")
    else:
        text = hostile.STACKS[name]
        (tmp_path / "bad").write_bytes(text.encode() if isinstance(text, str) else text)
    assert "kubeconfig" in refused(tmp_path)


@pytest.mark.parametrize(
    "path",
    PLACES,
)
@pytest.mark.parametrize("value", [5, [[]], {"a": {}}, True, "x", 1.5, ["x", 5]])
def test_another_kind_of_value_in_a_kubeconfig_is_a_sentence(tmp_path: Path, path: str, value: object) -> None:
    content = yaml.safe_load(mutations.KUBECONFIG)
    at: Any = content
    *above, last = path.split(".")
    for key in above:
        at = at[int(key) if key.isdigit() else key]
    at[int(last) if last.isdigit() else last] = value
    (tmp_path / "bad").write_text(yaml.safe_dump(content))
    with contextlib.suppress(KubeconfigError):
        connection(Cluster(context="c", kubeconfig="bad"), tmp_path)


@pytest.mark.parametrize("name", ["FIFO", "directory", "device", "symlink loop"])
@pytest.mark.parametrize("key", ["certificate-authority", "client-certificate", "tokenFile"])
def test_what_a_kubeconfig_names_is_looked_at_before_anybody_reads_it(tmp_path: Path, name: str, key: str) -> None:
    hostile.KINDS[name](tmp_path / "named")
    entry = {key: str(tmp_path / "named")}
    content = {
        "contexts": [{"name": "c", "context": {"cluster": "a", "user": "u"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://a"} | (entry if "authority" in key else {})}],
        "users": [{"name": "u", "user": entry if "authority" not in key else {"token": "x"}}],
    }
    (tmp_path / "bad").write_text(yaml.safe_dump(content))
    assert f".{key} cannot be read: " in refused(tmp_path)
    assert "named" not in refused(tmp_path)


JSON = ["", "[", "5", "[]", "null", '"x"', "NaN", "Infinity", "1" * 5000, hostile.nested(3000), hostile.nested(100_000)]
JSON += ['{"a":' * 3000 + "1" + "}" * 3000, '{"type": "\\ud800"}', hostile.nested(150), "\0", "{'a': 1}"]


@pytest.mark.parametrize("text", JSON)
def test_a_text_of_a_cluster_that_is_no_cni_configuration_is_none(text: str) -> None:
    assert meaning(text, name="n") is None
    assert meaning_changes(text, "{}", name="n") is None
    assert not any(plugins({"spec": {"config": text}}))
    assert read_link(text) is None
    assert read_report(text) is None
    with pytest.raises(NotKeptError):
        _config(text)


def test_text_that_is_no_text_is_no_json() -> None:
    for each in (None, 5, [], {}):
        with pytest.raises(ValueError, match="is no text"):
            parse_json(each)


def test_numbers_and_constants_are_those_of_json() -> None:
    assert parse_json('{"a": [1, 1.5, true, null, "\\ud83d\\ude00"]}') == {
        "a": [1, 1.5, True, None, "\N{GRINNING FACE}"]
    }


_leaves = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "x", "10.200.5.0/24", "whereabouts", "a-b/9"])
)
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_leaves.map(str), inner, max_size=3)
)


@given(st.lists(st.tuples(st.integers(0, 40), _values), min_size=1, max_size=3))
def test_any_kind_of_value_in_a_cni_configuration_is_read_or_refused(changes: list[tuple[int, Any]]) -> None:
    from config.segment import Segment
    from config.types.model import parse

    segment = parse(Segment, {"subnet": "10.200.5.0/24"}, stack="a", key="segment")
    assert isinstance(segment, Segment)
    config = copy.deepcopy(mutations.ATTACHMENT)
    for number, value in changes:
        places = list(_places(config))
        holder, key = places[number % len(places)]
        holder[key] = value
    text = json.dumps(config)
    meaning(text, name="n")
    meaning_changes(json.dumps(mutations.ATTACHMENT), text, name="n")
    plugins({"spec": {"config": text}})
    with contextlib.suppress(NotKeptError):
        list(_written(_config(text), "n", segment))


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        yield value, key
        yield from _places(each)
