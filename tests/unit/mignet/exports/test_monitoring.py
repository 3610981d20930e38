"""What `mignet export monitoring` writes: alerts that fire when they should, a dashboard of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from config.finding import ConfigError
from mignet.exports import watch
from mignet.exports.monitoring import alerts, dashboard, manifests
from mignet.exports.monitoring.alerts import Alert
from mignet.exports.monitoring.metrics import LABELS, of_stacks

ROOT = Path(__file__).parents[4]
RUNBOOKS = "https://git.example/net/docs/runbooks.md"
EVERY = 900
OWN, CLUSTER = alerts.own((), EVERY), alerts.of_the_cluster()
ALERTS = {each.name: each for each in (*OWN, *CLUSTER)}
HOUR = 60
LONG = 2 * HOUR
"""Minutes after which a test looks: longer than any alert waits."""
ON = f"1x{LONG}"
OFF = f"0x{LONG}"


@dataclass
class Case:
    """Series, by which an alert fires (with these labels and this value), and those of its healthy neighbour."""

    fires: dict[str, str]
    healthy: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    value: str = "1"


def now(stack: str = "a", verb: str = "drift") -> str:
    return f'mignet_last_look_timestamp_seconds{{stack="{stack}",verb="{verb}"}}'


def reach(stack: str, verb: str = "peers") -> str:
    return f'mignet_cluster_reachable{{stack="{stack}",verb="{verb}"}}'


def paths(stack: str, ready: int, of: int = 2) -> dict[str, str]:
    return {
        f'mignet_peer_paths{{stack="{stack}"}}': f"{of}x{LONG}",
        f'mignet_peer_paths_ready{{stack="{stack}"}}': f"{ready}x{LONG}",
    }


def found(verb: str, code: str, severity: str = "error") -> str:
    return f'mignet_findings{{stack="a",verb="{verb}",code="{code}",severity="{severity}"}}'


def phase(name: str) -> str:
    return f'kubevirt_vmi_migrations_in_{name}_phase{{pod="virt-controller-1"}}'


def ended(how: str, number: int) -> str:
    return f'kubevirt_vmi_migration_{how}{{namespace="shop",vmi="web",vmim="m{number}"}}'


RECENT = f"_x{LONG - 30} 1x60"
ALL_HERE = {reach(each): ON for each in "abc"}
CASES = {
    "MigrationNetworkMachineAstray": Case(
        {found("peers", "vm-runs-twice"): ON},
        {found("peers", "peer-unready"): ON, found("verify", "vm-missing"): ON},
        {"stack": "a", "code": "vm-runs-twice"},
    ),
    "MigrationNetworkVerifyFailed": Case(
        {found("verify", "pod-stuck"): f"2x{LONG}"},
        {
            found("verify", "slow", "warning"): ON,
            found("verify", "cluster-unreachable"): ON,
            found("peers", "peer-unready"): ON,
        },
        {"stack": "a"},
        "2",
    ),
    "MigrationNetworkDrifted": Case(
        {'mignet_drifted{stack="a"}': ON},
        # One look found it, and the next one did not.
        {'mignet_drifted{stack="a"}': f"0x{LONG - 15} 1x15 0x30", 'mignet_drifted{stack="b"}': OFF},
        {"stack": "a"},
    ),
    "MigrationNetworkClusterUnreachable": Case(
        {reach("a"): OFF, reach("a", "drift"): OFF}, {reach("a"): OFF, reach("a", "drift"): ON}, {"stack": "a"}, "0"
    ),
    "MigrationNetworkIsolated": Case(
        {**paths("a", 0), **paths("b", 1), **paths("c", 1), **ALL_HERE},
        # Both others are away: no path of this one's own making.
        {**paths("a", 0), reach("a"): ON, reach("b"): OFF, reach("c"): OFF},
        {"stack": "a"},
        "0",
    ),
    "MigrationNetworkPathsNotReady": Case(
        {**paths("a", 1), **paths("b", 2), **paths("c", 2), **ALL_HERE},
        {**paths("a", 1), **paths("b", 1), reach("a"): ON, reach("b"): ON, reach("c"): OFF},
        {"stack": "a"},
    ),
    "MigrationNetworkNotJudged": Case(
        {'mignet_not_judged_rules{stack="a",verb="verify"}': f"3x{LONG}"},
        {'mignet_not_judged_rules{stack="a",verb="verify"}': OFF},
        {"stack": "a", "verb": "verify"},
        "3",
    ),
    "MigrationNetworkLookStale": Case(
        {now("a"): f"60+0x{LONG}", now("b"): f"60+0x{LONG}", now("c"): f"0+60x{LONG}"},
        # Two looks were missed, of three that may be.
        {now("a"): f"0+60x{LONG - 30} {60 * (LONG - 30)}x60"},
        {"verb": "drift"},
        "2",
    ),
    "MigrationNetworkNotWatched": Case({"other": ON}, {now(): f"0+60x{LONG}"}),
    "MigrationNetworkMigrationsFail": Case(
        {**{ended("failed", each): RECENT for each in range(4)}, ended("succeeded", 9): RECENT},
        # As many succeed; and the failures of yesterday do not count, nor does a new pod of virt-controller.
        {
            **{ended("failed", each): RECENT for each in range(3)},
            **{ended("succeeded", each): RECENT for each in range(10, 13)},
            **{ended("failed", each): ON for each in range(20, 30)},
        },
        {},
        "4",
    ),
    "MigrationNetworkTargetsDoNotStart": Case(
        {phase("pending"): OFF, phase("scheduling"): f"2x{LONG}", phase("running"): OFF},
        {phase("pending"): OFF, phase("scheduling"): f"2x{LONG}", phase("running"): ON},
        {},
        "2",
    ),
    "MigrationNetworkMigrationsWait": Case(
        {phase("pending"): f"7x{LONG}", phase("scheduling"): OFF, phase("running"): OFF},
        {phase("pending"): f"7x{LONG}", phase("scheduling"): OFF, phase("running"): f"5x{LONG}"},
        {},
        "7",
    ),
    "MigrationNetworkMigrationOutpaced": Case(
        {
            'kubevirt_vmi_migration_dirty_memory_rate_bytes{namespace="shop",name="web",node="n1"}': f"2048x{LONG}",
            'kubevirt_vmi_migration_memory_transfer_rate_bytes{namespace="shop",name="web",node="n1"}': f"1024x{LONG}",
        },
        {
            'kubevirt_vmi_migration_dirty_memory_rate_bytes{namespace="shop",name="web",node="n1"}': f"512x{LONG}",
            'kubevirt_vmi_migration_disk_transfer_rate_bytes{namespace="shop",name="web",node="n1"}': f"1024x{LONG}",
        },
        {"namespace": "shop", "name": "web"},
        "2ki",
    ),
    "MigrationNetworkPolicyDegraded": Case(
        {'kubernetes_nmstate_policies_status{status="Degraded"}': ON},
        {
            'kubernetes_nmstate_policies_status{status="Degraded"}': OFF,
            'kubernetes_nmstate_policies_status{status="Available"}': ON,
        },
    ),
    "MigrationNetworkPolicyStuck": Case(
        {'kubernetes_nmstate_enactments_status{node="n1",status="Progressing"}': ON},
        {
            'kubernetes_nmstate_enactments_status{node="n1",status="Progressing"}': OFF,
            'kubernetes_nmstate_enactments_status{node="n1",status="Available"}': ON,
        },
        {"node": "n1"},
    ),
}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert set(CASES) == set(ALERTS)
    assert len(ALERTS) == len(OWN) + len(CLUSTER)
    assert all(case.fires and case.healthy for case in CASES.values())


def promtool(*arguments: str | Path, cwd: Path) -> None:
    path = shutil.which("promtool")
    if not path:
        pytest.skip("no promtool here: make monitoring installs it")
    done = subprocess.run(
        [path, *map(str, arguments)], check=False, cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def groups(*named: tuple[str, list[Alert]]) -> dict[str, Any]:
    return {"groups": [{"name": name, "rules": [each.rule(RUNBOOKS) for each in found]} for name, found in named]}


def written(text: str, case: Case) -> str:
    """Return an annotation as Prometheus shows it."""
    for name, value in case.labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", value)
    return re.sub(r"\{\{ \$value (\| humanize1024 )?\}\}", case.value, text)


@pytest.mark.parametrize("found", [OWN, CLUSTER], ids=["own", "cluster"])
def test_each_alert_fires_when_it_should_and_not_for_its_healthy_neighbour(found: list[Alert], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups(("all", found))))
    promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    tests = []
    for name, case in ((each.name, CASES[each.name]) for each in found):
        rule = ALERTS[name].rule(RUNBOOKS)
        expected = {
            "exp_labels": {**rule["labels"], **case.labels},
            "exp_annotations": {key: written(text, case) for key, text in rule["annotations"].items()},
        }
        at = {"alertname": name, "eval_time": f"{LONG}m"}
        tests += [
            _promtool_test(name, case.fires, {**at, "exp_alerts": [expected]}),
            _promtool_test(f"{name}, healthy", case.healthy, {**at, "exp_alerts": []}),
        ]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": tests}))
    promtool("test", "rules", "tests.yaml", cwd=tmp_path)


def _promtool_test(name: str, series: dict[str, str], alert: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [alert],
    }


def test_one_cluster_that_is_away_is_one_alert(tmp_path: Path) -> None:
    """Of three clusters, one is down: neither of the others is called isolated, and no verb fails beside it."""
    series = {
        **{key: value for each in "ab" for key, value in paths(each, 1).items()},
        **paths("c", 0),
        **{reach(each): ON if each != "c" else OFF for each in "abc"},
        **{now(each): f"0+60x{LONG}" for each in "abc"},
        found("verify", "cluster-unreachable").replace('"a"', '"c"'): ON,
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups(("own", OWN))))
    tests = [
        _promtool_test(each.name, series, {"alertname": each.name, "eval_time": f"{LONG}m", "exp_alerts": []})
        for each in OWN
        if each.name != "MigrationNetworkClusterUnreachable"
    ]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": tests}))
    promtool("test", "rules", "tests.yaml", cwd=tmp_path)


NAMES = re.compile(r"\b(?:mignet|kubevirt|kubernetes_nmstate|cnv|cluster)_\w+")
SERIES = re.compile(r"\b((?:mignet|kubevirt|kubernetes_nmstate)_\w+)(?:\{([^}]*)\})?")


def asked(expr: str) -> set[str]:
    """Return the metrics that an expression names, all of whose labels they have."""
    for name, matchers in SERIES.findall(expr):
        assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers)) <= set(LABELS[name]), (name, matchers)
    return set(NAMES.findall(expr))


def test_alerts_and_dashboard_ask_only_for_metrics_that_there_are() -> None:
    board = dashboard.dashboard()
    exprs = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    named = [asked(expr) for expr in (*exprs, *(each.expr for each in ALERTS.values()))]
    assert all(named)
    assert set().union(*named) == set(LABELS) - {"mignet_build_info"}


def test_grafanas_own_library_reads_the_dashboard_as_it_is_written() -> None:
    board = dashboard.dashboard()
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
    assert [each["title"] for each in read["panels"]] == [each["title"] for each in board["panels"]]
    assert _missing(board, read) == []
    places = [each["gridPos"] for each in board["panels"]]
    taken: set[tuple[int, int]] = set()
    for place in places:
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def _missing(ours: object, theirs: object, path: str = "") -> list[str]:
    """Return what the library does not know, or reads as something else; what it adds are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [each for key, value in ours.items() for each in _missing(value, theirs.get(key), f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            each for n, pair in enumerate(zip(ours, theirs, strict=True)) for each in _missing(*pair, f"{path}.{n}")
        ]
    return [] if ours == theirs else [f"{path}: {ours!r} is {theirs!r}"]


def test_every_alert_has_a_runbook_of_its_own() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text()
    assert re.findall(r"^### (Migration\w+)$", text, re.MULTILINE) == list(ALERTS)
    for name, alert in ALERTS.items():
        rule = alert.rule(RUNBOOKS)
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{name.lower()}"
        section = text.partition(f"### {name}\n")[2].partition("\n### ")[0]
        assert f"`{alert.severity}`" in section, name
        assert "mignet " in section, name


def wanted(**more: Any) -> manifests.Wanted:
    return manifests.Wanted(**{"stacks": (), "runbooks": RUNBOOKS, **more})


def test_on_openshift_rules_about_its_own_metrics_are_where_it_looks_for_them() -> None:
    (one,) = manifests.objects(["cluster-rules"], wanted())
    assert (one["kind"], one["metadata"]["namespace"]) == ("AlertingRule", "openshift-monitoring")
    (one,) = manifests.objects(["cluster-rules"], wanted(openshift=False, labels={"release": "prometheus"}))
    assert (one["kind"], one["metadata"]["namespace"]) == ("PrometheusRule", "migration-network")
    assert one["metadata"]["labels"]["release"] == "prometheus"


def test_pods_are_found_by_what_scrapes_them_and_may_do_nothing() -> None:
    made = manifests.objects(["cronjob"], wanted())
    by_kind = {each["kind"]: each for each in made}
    deployed = by_kind["Deployment"]["spec"]["template"]
    job = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]
    labels = deployed["metadata"]["labels"]
    assert by_kind["Service"]["spec"]["selector"] == labels == by_kind["Deployment"]["spec"]["selector"]["matchLabels"]
    assert by_kind["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == by_kind["Service"]["metadata"]["labels"]
    (may, _) = by_kind["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    assert may["podSelector"]["matchLabels"] == job["metadata"]["labels"]
    for pod in (deployed, job):
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {each["name"] for each in container.get("volumeMounts", ())}
        assert mounts == {each["name"] for each in pod["spec"].get("volumes", ())}
    assert "Secret" not in by_kind


@pytest.mark.parametrize(
    ("stacks", "single", "looks"),
    [
        ((), False, ["drift --all --engine direct", "verify --all --timeout 0", "peers --all"]),
        ((), True, ["drift --all --engine direct", "verify --all --timeout 0"]),
        (("a", "b"), False, ["drift a b --engine direct", "verify a b --timeout 0", "peers a b"]),
        (("a",), False, ["drift a --engine direct", "verify a --timeout 0", "peers --all"]),
    ],
)
def test_the_job_looks_at_the_stacks_that_are_meant(stacks: tuple[str, ...], looks: list[str], *, single: bool) -> None:
    made = manifests.objects(["cronjob"], wanted(stacks=stacks, single=single))
    (job,) = (each for each in made if each["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["http://migration-network-pushgateway:9091", *looks]


@pytest.mark.parametrize("every", [61, 420, 5400, 172800])
def test_an_interval_that_cron_does_not_keep_is_refused(every: int) -> None:
    with pytest.raises(ConfigError, match=f"mignet: --every {every} is nothing that a CronJob keeps"):
        manifests.schedule(every)


def test_rules_of_some_stacks_are_about_no_other(tmp_path: Path) -> None:
    assert of_stacks(["prod-1", "a.b"]) == 'stack=~"prod-1|a\\\\.b"'
    found = alerts.own(["prod-1", "a.b"], EVERY)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups(("own", found))))
    promtool("check", "rules", "rules.yaml", cwd=tmp_path)
    series = {f'mignet_drifted{{stack="{each}"}}': ON for each in ("prod-1", "a.b", "axb", "prod-10")}
    expected = [_expected("MigrationNetworkDrifted", each) for each in ("prod-1", "a.b")]
    test = _promtool_test(
        "some", series, {"alertname": "MigrationNetworkDrifted", "eval_time": f"{LONG}m", "exp_alerts": expected}
    )
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [test]}))
    promtool("test", "rules", "tests.yaml", cwd=tmp_path)


def _expected(name: str, stack: str) -> dict[str, Any]:
    rule = ALERTS[name].rule(RUNBOOKS)
    case = Case({}, {}, {"stack": stack})
    notes = {key: written(text, case) for key, text in rule["annotations"].items()}
    return {"exp_labels": {**rule["labels"], "stack": stack}, "exp_annotations": notes}


def written_by(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.mignet("export", "monitoring", *arguments, cwd=ROOT)


def test_the_verb_writes_all_parts_or_one_and_demands_where_runbooks_are() -> None:
    done = written_by("--all", "--runbooks", RUNBOOKS, "--label", "release=prometheus", "--every", "1800")
    made = list(yaml.safe_load_all(done.stdout))
    assert done.returncode == 0, done.stderr
    assert [each["kind"] for each in made[:3]] == ["PrometheusRule", "AlertingRule", "ConfigMap"]
    assert {each["kind"] for each in made[3:]} >= {"CronJob", "Deployment", "ServiceMonitor", "NetworkPolicy"}
    assert made[0]["metadata"]["labels"]["release"] == "prometheus"
    assert not [rule for rule in made[0]["spec"]["groups"][0]["rules"] if "stack=~" in rule["expr"]]
    (monitor,) = yaml.safe_load_all(written_by("dev", "--only", "watch").stdout)
    # It is scraped as `mignet export watch` serves it.
    of_watch = {each["kind"]: each for each in watch.objects(watch.Wanted(image="x"))}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= of_watch["Service"]["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {each["name"] for each in of_watch["Service"]["spec"]["ports"]}
    assert (endpoint["scheme"], endpoint["tlsConfig"]["serverName"]) == ("https", "mignet-watch.migration-network.svc")
    volumes = of_watch["Deployment"]["spec"]["template"]["spec"]["volumes"]
    secrets = {each["secret"]["secretName"] for each in volumes if "secret" in each}
    assert {endpoint["authorization"]["credentials"]["name"], endpoint["tlsConfig"]["ca"]["secret"]["name"]} <= secrets
    assert json.loads(written_by("--all", "--only", "dashboard").stdout) == dashboard.dashboard()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "mignet: --runbooks is missing"),
        (["--runbooks", RUNBOOKS, "--every", "420"], "mignet: --every 420 is nothing that a CronJob keeps"),
        (["--only", "watch", "--label", "release"], "mignet: --label release is no label"),
        (["--only", "watch", "--namespace", "a/b"], "mignet: --namespace a/b is no name of an object"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], line: str) -> None:
    done = written_by("--all", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (only,) = done.stderr.splitlines()
    assert only.startswith(line)
