"""Many clusters in one run: what some do wrong costs them their own line, and a run can be stopped and taken up."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleets import FleetSpace, closed_port, silent_server
from operated import Operated, until
from support import Kube, Outcome, Site, Workspace, beside, document

from config.files.project_files import Project
from mignet.fleet.journal import place
from mignet.kube.lease import machine
from mignet.lab.lab import Lab

UP = ("mignet", "up", "--all", "--engine", "direct", "--yes", "--skip-preflight")


@pytest.fixture(autouse=True)
def own_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Iterator[Callable[[int], FleetSpace]]:
    """Make a fleet of so many stacks."""
    made: list[FleetSpace] = []

    def make(count: int) -> FleetSpace:
        one = FleetSpace(tmp_path / "fleet", lab, f"{random.choice('ghijkmnp')}{random.randrange(10**6)}")
        made.append(one)
        one.create(count)
        return one

    yield make
    for one in made:
        one.remove()


def summary(outcome: Outcome) -> str:
    (line,) = [line for line in outcome.err.splitlines() if re.match(r"\d+ clusters:", line)]
    return line.partition(" in ")[0]


def record(path: Path) -> dict[str, str]:
    return {name: run["state"] for name, run in document(path.read_text())["stacks"].items()}


def test_ten_dead_and_five_silent_clusters_of_a_hundred_cost_their_own_lines_only(
    fleet: Callable[[int], FleetSpace], tmp_path: Path
) -> None:
    space = fleet(100)
    names = list(space.sites)
    whole = space.workspace.run("mignet", "preview", "--all", "--engine", "direct", "--json")
    assert (whole.code, len(whole.reports)) == (0, 100)

    def timed(*command: str) -> tuple[Outcome, float]:
        begun = time.monotonic()
        return space.workspace.run("mignet", *command), time.monotonic() - begun

    preview, verify = ("preview", "--all", "--engine", "direct", "--json"), ("verify", "--all", "--timeout", "0")
    work = {command: timed(*command)[1] for command in (preview, verify)}
    with silent_server() as silent:
        space.elsewhere(dict.fromkeys(names[5:65:6], closed_port()) | dict.fromkeys(names[:50:10], silent))
        outcome, seconds = timed(*preview, "--report", str(tmp_path / "report.json"))
        verified, later = timed(*verify, "--output", "json")
    failed = {report["stack"]: report["error"] for report in outcome.reports if report["error"]}
    assert (outcome.code, len(outcome.reports), len(failed)) == (1, 100, 15)
    assert summary(outcome) == "100 clusters: 85 done, 15 failed"
    assert all("no answer in time" in failed[name] for name in names[:50:10])
    # A silent one takes the 5 s that a connection may take; the rest is for a machine that others use, too.
    assert seconds < 5 + 3 * work[preview] + 5
    # Nothing is applied, and so nothing is proven; but each of the 85 was looked at.
    dead = [each["stack"] for each in verified.findings if each["code"] == "cluster-unreachable"]
    assert sorted(dead) == sorted(failed)
    assert summary(verified) == "100 clusters: 100 failed"
    assert later < 5 + 3 * work[verify] + 5
    assert sum(state != "done" for state in record(tmp_path / "report.json").values()) == 15


def test_a_cluster_has_so_many_seconds_and_no_more(fleet: Callable[[int], FleetSpace]) -> None:
    space = fleet(2)
    with silent_server() as silent:
        space.elsewhere(dict.fromkeys(space.sites, silent))
        outcome = space.workspace.run("mignet", "preview", "--all", "--engine", "direct", "--timeout", "0.5", "--json")
        assert summary(outcome) == "2 clusters: 2 timed out"
        assert [report["error"] for report in outcome.reports] == ["did not end within 0.5 s"] * 2
        looked = space.workspace.run("mignet", "preflight", "--all", "--timeout", "0.5", "--output", "json")
        assert [each["code"] for each in looked.findings] == ["cluster-timed-out"] * 2
        one_by_one = ("--fail-fast", "--at-a-time", "1", "--timeout", "0.5", "--json")
        outcome = space.workspace.run("mignet", "drift", "--all", "--engine", "direct", *one_by_one)
        assert summary(outcome) == "2 clusters: 1 timed out, 1 not started"


def test_an_up_whose_time_is_over_anywhere_says_so_of_each_cluster(fleet: Callable[[int], FleetSpace]) -> None:
    space = fleet(3)
    for seconds in (0.001, 0.05, 0.1, 0.2, 0.3):
        outcome = space.workspace.run("mignet", "up", "--all", "--engine", "direct", "--yes", "--timeout", str(seconds))
        # Their time is over in preflight, or preflight finds that no operator is at work there.
        assert outcome.code == 1, outcome.err
        assert "Traceback" not in outcome.err
        assert all(name in outcome.out for name in space.sites)
    with silent_server() as silent:
        space.elsewhere(dict.fromkeys(space.sites, silent))
        outcome = space.workspace.run(
            "mignet", "up", "--all", "--engine", "direct", "--yes", "--timeout", "0.5", "--json"
        )
    assert [report["error"] for report in outcome.reports] == ["cluster did not end within 0.5 s."] * 3


def broken(space: FleetSpace) -> tuple[str, str, str]:
    """Break a stack's file, the next one's range, and let the program refuse a third one; return their names."""
    file, slice_, program = list(space.sites)[:3]
    (space.folder / f"Pulumi.{file}.yaml").write_text("config: [\n")
    path = space.folder / f"Pulumi.{slice_}.yaml"
    path.write_text(path.read_text().replace("10.200.0.116", "10.200.9.116"))
    refuses = f"import pulumi\nif pulumi.get_stack() == {program!r}:\n    raise pulumi.RunError('not today')\n"
    main = space.folder / "__main__.py"
    main.write_text(refuses + main.read_text().replace("from __future__ import annotations", ""))
    return file, slice_, program


@pytest.mark.parametrize(
    "verb", ["preview --engine direct --json", "drift --engine direct --json", "verify --timeout 0 -o json"]
)
def test_a_stack_that_is_broken_costs_a_look_its_own_lines_only(fleet: Callable[[int], FleetSpace], verb: str) -> None:
    space = fleet(5)
    bad = broken(space)
    outcome = space.workspace.run("mignet", *verb.split(), "--all")
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    if verb.startswith("verify"):
        found = outcome.findings
        why = {each["stack"]: each["message"].removeprefix(f"{each['stack']}: ") for each in found}
        why = {name: said for name, said in why.items() if name in bad}
        assert {each["stack"] for each in found} == set(space.sites)
    else:
        why = {report["stack"]: report["error"] for report in outcome.reports if report["error"]}
        assert [report["stack"] for report in outcome.reports if not report["error"]] == list(space.sites)[3:]
    assert set(why) == set(bad)
    assert why[bad[0]].startswith(f"Pulumi.{bad[0]}.yaml:2:1 is not YAML")
    assert "10.200.9.116" in why[bad[1]]
    assert why[bad[2]] == "__main__.py the program refuses: not today. Fix the program"
    # Labels that nobody can read select nothing in silence: the broken file is still said.
    chosen = space.workspace.run("mignet", *verb.split(), "--select", "tier=canary")
    assert chosen.code == 2
    assert "is not YAML" in chosen.err


def test_a_stack_that_is_broken_keeps_an_up_of_it_from_changing_any(fleet: Callable[[int], FleetSpace]) -> None:
    space = fleet(5)
    file, slice_, program = broken(space)
    outcome = space.workspace.run(*UP)
    assert outcome.code == 2
    assert [line.partition(":")[0] for line in outcome.err.splitlines()] == [file, slice_]
    assert all(site.live()["attachments"] == {} for site in space.sites.values())
    others = [name for name in space.sites if name not in {file, slice_}]
    outcome = space.workspace.run(*UP[:2], *UP[3:], *others)
    assert outcome.code == 1
    assert f"{file}, {slice_} cannot be read: not compared with the other stacks" in outcome.err
    assert [name for name in others if "migration" not in space.sites[name].live()["attachments"]] == [program]


def test_a_run_killed_anywhere_is_taken_up_and_ends_as_one_that_was_not(fleet: Callable[[int], FleetSpace]) -> None:
    space = fleet(4)
    run, destroy = space.workspace.run, ("mignet", "destroy", "--all", "--engine", "direct", "--yes")
    assert run(*UP).code == 0
    assert run(*destroy).code == 0
    begun = time.monotonic()
    assert run(*UP).code == 0
    whole = time.monotonic() - begun
    expected = {name: site.content() for name, site in space.sites.items()}
    assert run(*destroy).code == 0
    process = space.workspace.start(*UP, "--at-a-time", "2")
    record = place(Project.find(space.folder), "up")
    # Before it has begun there is nothing to take up.
    until(lambda: json.loads(record.read_text())["ended"] is None, "begun")
    try:
        process.communicate(timeout=whole * random.uniform(0.0, 0.8))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    outcome = run(*UP[:2], *UP[3:], "--only-failed")
    assert outcome.code == 0, outcome.out + outcome.err
    assert {name: site.content() for name, site in space.sites.items()} == expected
    again = run(*UP[:2], *UP[3:], "--only-failed")
    assert (again.code, again.err.splitlines()[-1]) == (0, "the last run left nothing to do")


def test_ctrl_c_starts_no_other_cluster_and_lets_the_one_under_way_reach_a_safe_point(
    fleet: Callable[[int], FleetSpace], tmp_path: Path
) -> None:
    space = fleet(6)
    process = space.workspace.start(*UP, "--at-a-time", "1", "--report", str(tmp_path / "report.json"))
    _, second, *_ = space.sites.values()
    # One after the other: the first one is done then.
    until(lambda: second.live()["attachments"] or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "stopping: no other cluster is started" in err
    states = record(tmp_path / "report.json")
    assert states.pop(next(iter(states))) == "done"
    assert list(states.values())[-1] == "not started"
    assert set(states.values()) <= {"done", "stopped", "not started"}
    for name, state in states.items():
        attachments = space.sites[name].live()["attachments"]
        assert ("migration" in attachments) == (state == "done") or state == "stopped"
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{space.sites[name].namespace}/leases"
        assert space.sites[name].kube.call("GET", lease)["items"] == []


def renewing(site: Site, lease: str) -> contextlib.AbstractContextManager[None]:
    """Have somebody say again and again, by a clock of their own, that a Lease is theirs."""
    kube = Kube(site.kubeconfig, site.context)

    def renew(stop: threading.Event) -> None:
        late = itertools.count(90, -1)
        while not stop.wait(0.5):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 80 - next(late) / 10))
            kube.merge(lease, {"spec": {"renewTime": stamp}}, "migration-network")

    return beside(renew)


def test_a_stack_that_another_run_holds_is_left_alone_until_that_one_is_gone(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{site.namespace}/leases"
    stamp = "%Y-%m-%dT%H:%M:%S.000000Z"

    def hold(identity: str, *, seconds_ago: float) -> None:
        site.kube.call("DELETE", leases)
        spec = {
            "holderIdentity": identity,
            "leaseDurationSeconds": 60,
            "renewTime": time.strftime(stamp, time.gmtime(time.time() - seconds_ago)),
        }
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
        site.kube.call("POST", leases, json=body | {"metadata": {"name": f"migration-network-{workspace.stack}"}})

    other = "ann@elsewhere pid 7 since 2026-01-01T00:00:00Z [abc]"
    hold(other, seconds_ago=5)
    outcome = workspace.mignet("up", engine)
    assert outcome.code == 1
    assert "another run holds this stack: ann@elsewhere pid 7 since 2026-01-01T00:00:00Z" in outcome.reports[0]["error"]
    assert site.live()["attachments"] == {}

    # Its clock is behind by more than a Lease counts, and it goes on.
    hold(other, seconds_ago=90)
    with renewing(site, f"{leases}/migration-network-{workspace.stack}"):
        skewed = workspace.mignet("up", engine)
    assert skewed.code == 1
    assert "another run holds this stack: ann@elsewhere" in skewed.reports[0]["error"]

    gone = f"ann@here pid {2**22 + 1} since 2026-01-01T00:00:00Z [{machine()}]"
    for identity, seconds_ago in ((gone, 5), (other, 90)):
        hold(identity, seconds_ago=seconds_ago)
        assert workspace.mignet("up", engine).code == 0
        assert workspace.mignet("destroy", engine).code == 0
    assert site.kube.call("GET", leases)["items"] == [], "it is let go at the end"


@pytest.fixture
def own_waves(fleet: Callable[[int], FleetSpace]) -> FleetSpace:
    space = fleet(3)
    first, second, _ = space.sites
    space.waves([first], [second])
    return space


def test_nothing_starts_behind_a_wave_that_is_not_verified(own_waves: FleetSpace) -> None:
    """No operator is at work in these namespaces: nothing rolls out."""
    run, (first, *others) = own_waves.workspace.run, own_waves.sites
    outcome = run(*UP, "--timeout", "5", "--json")
    assert outcome.code == 1
    assert summary(outcome) == "3 clusters: 1 failed, 2 not started"
    errors = [report["error"] for report in outcome.reports]
    assert errors[0].startswith("was applied, but is not verified")
    assert errors[1:] == [f"not started: wave 1 ({first}) is not verified"] * len(others)
    assert all(own_waves.sites[name].live()["attachments"] == {} for name in others)
    assert run(*UP, "--no-waves").code == 0


def test_the_rest_follows_a_canary_that_is_verified(operated: Operated) -> None:
    more = ("--engine", "direct", "--yes", "--canary", "dev-peer", "--json")
    outcome = operated.run("up", "--all", *more)
    assert outcome.code == 0, outcome.out + outcome.err
    told = [line for line in outcome.err.splitlines() if line.startswith("wave ")]
    assert told == ["wave 1 of 2: verifying dev-peer", "wave 2 of 2: verifying dev"]
