"""What watches keep is what a list would say, whatever happens to them; and nothing is written through it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cluster import Cluster as ClusterConfig
from config.loading import load_stack
from mignet.checks import drift_rules
from mignet.kube import client, watched
from mignet.kube.client import ClusterError, Event, ExpiredError
from mignet.kube.kinds import KUBEVIRT, NAMESPACE, NETWORK_ATTACHMENT, POD
from mignet.kube.watched import Backoff, Kept, Store, Tally, Watch, Watched

CONFIG: dict[str, Any] = {
    "cluster": {"context": "dev"},
    "segment": {"subnet": "10.200.5.0/24"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
    "slice": {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"},
    "hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 800}},
    "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0", "id": 7}},
    "migrationPolicies": [],
}


def pod(name: str, value: int = 0, version: int = 1, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "resourceVersion": str(version), "labels": {"value": str(value)}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"value": value}} | more


def event(happened: str, live: dict[str, Any]) -> Event:
    return Event(happened, live, live["metadata"]["resourceVersion"])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from(["set", "delete", "list"]))))
def test_a_store_holds_what_a_list_would_say_and_tells_each_change_and_no_other(
    steps: list[tuple[str, int, str]],
) -> None:
    told: list[None] = []
    store = Store(Watch(POD), lambda: told.append(None), Tally())
    store.replace([])
    there: dict[str, int] = {}
    for version, (name, value, what) in enumerate(steps):
        before, count = dict(there), len(told)
        if what == "set":
            store.take(event("MODIFIED" if name in there else "ADDED", pod(name, value, version)))
            there[name] = value
        elif what == "delete" and name in there:
            store.take(event("DELETED", pod(name, there.pop(name), version)))
        elif what == "list":
            store.replace([pod(each, number, version) for each, number in there.items()])
        assert {each["metadata"]["name"]: each["spec"]["value"] for each in store.all(None)} == there
        assert (len(told) > count) == (there != before)


def test_what_is_only_written_again_is_no_change() -> None:
    told: list[None] = []
    store = Store(Watch(POD), lambda: told.append(None), Tally())
    store.replace([])
    status = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}]}
    store.take(event("ADDED", pod("a", status=status)))
    assert len(told) == 2
    again = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2"}]}
    store.take(event("MODIFIED", pod("a", version=7, status=again)))
    assert len(told) == 2
    store.take(event("MODIFIED", pod("a", status={"conditions": [{"type": "Ready", "status": "False"}]})))
    assert len(told) == 3


class Played(client.Cluster):
    """A connection whose answers are given: lists, and then what each watch tells."""

    def __init__(self, *watches: list[Event | Exception]) -> None:
        super().__init__(ClusterConfig(context="dev"), base=None)  # type: ignore[arg-type]
        self.watches = list(watches)
        self.lists = 0
        self.since: list[str] = []

    async def listed(self, *_: Any, **__: Any) -> tuple[list[dict[str, Any]], str]:
        self.lists += 1
        return [pod("a", self.lists)], f"list-{self.lists}"

    async def watch(self, *_: Any, since: str, **__: Any) -> AsyncIterator[Event]:  # type: ignore[override]
        self.since.append(since)
        if not self.watches:
            await asyncio.Event().wait()
        for each in self.watches.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


def played(cluster: Played, monkeypatch: pytest.MonkeyPatch, *, follows: int) -> tuple[Store, list[float]]:
    """Keep a store on given answers, until so many watches have begun; return it, and how long it paused."""
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr(watched.asyncio, "sleep", sleep)
    store = Store(Watch(POD), lambda: None, Tally())

    async def run() -> None:
        task = asyncio.create_task(store.keep(cluster, gate=asyncio.Semaphore(1)))
        while len(cluster.since) < follows and not task.done():
            await real(0)
        task.cancel() if not task.done() else None
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    return store, pauses


def test_a_watch_goes_on_from_the_last_version_it_was_told_a_bookmark_s_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Played([event("MODIFIED", pod("a", 5, 11))], [Event("BOOKMARK", {}, "12")], [])
    store, _ = played(cluster, monkeypatch, follows=3)
    assert cluster.since == ["list-1", "11", "12"]
    assert cluster.lists == 1
    assert [each["spec"]["value"] for each in store.all(None)] == [5]


def test_where_the_past_is_forgotten_it_lists_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Played([event("DELETED", pod("a", 1, 11)), ExpiredError()], [])
    store, pauses = played(cluster, monkeypatch, follows=2)
    assert cluster.since == ["list-1", "list-2"]
    assert [each["spec"]["value"] for each in store.all(None)] == [2]
    assert 0 < pauses[0] <= 1


def test_a_watch_that_breaks_is_begun_again_once_and_then_the_cluster_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ClusterError("unreachable", "context dev is unreachable")
    once = Played([broken], [Event("BOOKMARK", {}, "12")], [])
    played(once, monkeypatch, follows=3)
    assert once.lists == 1
    with pytest.raises(ClusterError):
        played(Played([broken], [broken]), monkeypatch, follows=3)


def test_what_a_server_refuses_again_and_again_is_asked_for_at_longer_and_longer_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = ClusterError("refused", "answered 500")
    _, pauses = played(Played(*([refused] for _ in range(12))), monkeypatch, follows=12)
    assert all(0.5 <= each <= watched.MOST_PAUSE for each in pauses)
    assert pauses[-1] >= watched.MOST_PAUSE / 2


@given(st.integers(1, 2000))
def test_a_pause_is_never_longer_than_its_ceiling(attempts: int) -> None:
    pause = Backoff(first=1.0, most=60.0)
    for _ in range(attempts % 50 + 1):
        assert 0.5 <= pause.next() <= 60.0
    pause.reset()
    assert pause.next() <= 1.0


def test_more_than_a_watch_keeps_is_an_error_and_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "MOST_OBJECTS", 3)
    store = Store(Watch(POD), lambda: None, Tally())
    with pytest.raises(ClusterError, match="4 objects of Pod"):
        store.replace([pod(each) for each in "abcd"])
    assert len(store) == 0


def test_lines_are_put_together_and_a_torn_one_is_none() -> None:
    async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
        for each in parts:
            yield each

    async def lines(*parts: bytes) -> list[bytes]:
        return [each async for each in client._lines(chunks(*parts))]

    assert asyncio.run(lines(b'{"a"', b": 1}\n{}", b"\n\n", b'{"torn')) == [b'{"a": 1}', b"{}"]


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{}", b'{"type": "ADDED", "object": {}}', b'{"type": "ODD", "object": {}}',
     b'{"type": "BOOKMARK", "object": {}}',
     b'{"type": "ADDED", "object": {"metadata": {"name": "a", "namespace": 1}}}'],
)  # fmt: skip
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises((TypeError, ValueError)):
        client._event(line, POD)


def test_an_event_of_a_large_kind_has_no_bulk() -> None:
    live = pod("a", spec={"volumes": [1], "nodeName": "x"})
    live["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    found = client._event(json.dumps({"type": "ADDED", "object": live}).encode(), POD).live
    assert found["spec"] == {"nodeName": "x"}
    assert "managedFields" not in found["metadata"]


def test_all_that_drift_reads_is_watched_but_for_the_namespace() -> None:
    stack = load_stack("dev", CONFIG)
    watches = drift_rules.watches(stack)
    for read in drift_rules.reads(stack):
        if read.name:
            assert any(each.holds_object(read.kind, read.name, read.namespace) for each in watches), read
        else:
            assert any(each.holds_list(read.kind, read.namespace, read.labels, read.fields) for each in watches), read
    assert {each.kind for each in drift_rules.needs(stack)} - {each.kind for each in watches} == {NAMESPACE}


def test_it_writes_nothing_and_says_why_it_knows_nothing(tmp_path: Any) -> None:
    kept = Kept(ClusterConfig(context="dev"), tmp_path, [Watch(KUBEVIRT, "n")], changed=lambda: None)
    one = Watched(kept)
    manifest = {
        "apiVersion": NETWORK_ATTACHMENT.api_version,
        "kind": NETWORK_ATTACHMENT.kind,
        "metadata": {"name": "x"},
    }

    async def tried() -> list[object]:
        return await asyncio.gather(
            one.apply(manifest, manager="m", force=True, dry_run=True),
            one.create(POD, manifest),
            one.delete(POD, "x"),
            one.list(KUBEVIRT, namespace="n"),
            return_exceptions=True,
        )

    assert [getattr(each, "reason", None) for each in asyncio.run(tried())] == [*["forbidden"] * 3, "unreachable"]


def test_what_is_read_for_one_look_is_read_once_and_not_kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def listing(_self: client.Cluster, kind: Any, **_: Any) -> list[Any]:
        asked.append(kind.kind)
        return [pod("a")]

    monkeypatch.setattr(client.Cluster, "list", listing)
    kept = Kept(ClusterConfig(context="dev"), tmp_path, [], changed=lambda: None)

    async def looked(seconds: float | None) -> list[Any]:
        one = Watched(kept, seconds=seconds)
        return list(await asyncio.gather(one.list(POD), one.list(POD)))

    assert asyncio.run(looked(None)) == [[pod("a")], [pod("a")]]
    assert (asked, len(kept._read)) == (["Pod"], 0)
    asyncio.run(looked(None))
    assert len(asked) == 2
    asyncio.run(looked(60.0))
    asyncio.run(looked(60.0))
    assert (len(asked), len(kept._read)) == (3, 1)


@pytest.mark.parametrize(("failures", "seconds", "asked"), [(1, 0.0, 2), (2, 0.0, 2), (1, 20.0, 1)])
def test_a_read_that_breaks_at_once_is_made_once_more_and_one_that_hung_is_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, failures: int, seconds: float, asked: int
) -> None:
    calls: list[None] = []
    clock = [0.0]
    monkeypatch.setattr(watched.time, "monotonic", lambda: clock[0])

    async def read() -> str:
        calls.append(None)
        clock[0] += seconds
        if len(calls) <= failures:
            message = "it ended"
            raise ClusterError("unreachable", message)
        return "read"

    kept = Kept(ClusterConfig(context="dev"), tmp_path, (), changed=lambda: None)
    expected = contextlib.nullcontext() if failures < asked else pytest.raises(ClusterError)
    with expected:
        assert asyncio.run(kept.through("key", read, seconds=1.0)) == "read"
    assert len(calls) == asked
