"""Every verb on a fleet whose servers answer whatever they like: a sentence for each, and never a fault of our own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import forked
import hostile
import hostile_server
import pytest
import yaml
from operated import until
from support import ROOT, document
from watching import Watch

NAMES = {f"s{number}": name for number, name in enumerate(hostile_server.ANSWERS)}
"""The answer of each stack's server."""
ENVIRONMENT = {"PATH": os.defpath, "MIGNET_TIMEOUT": "1", "NO_COLOR": "1"}
VERBS = [
    ["preflight", "--all"],
    ["verify", "--all", "--timeout", "0"],
    ["drift", "--all", "--engine", "direct"],
    ["preview", "--all", "--engine", "direct"],
    ["up", "--all", "--yes", "--engine", "direct"],
    ["up", "--all", "--yes", "--engine", "direct", "--skip-preflight"],
    ["destroy", "--all", "--yes", "--engine", "direct", "--verbose"],
    ["peers"],
    ["limits", "--all"],
    ["gather", "--all", "--output", "hostile.tar.gz"],
    ["capacity", "--all", "--propose"],
    ["capacity", "--all", "--json", "--between", "10G"],
    ["migrations", "--all"],
    ["verify", "s0", "--migrate", "--to", "s1", "--yes", "--timeout", "0"],
    ["report", "--output", "markdown"],
    ["checkup", "--all", "--timeout", "10"],
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fleet")
    for name in ("Pulumi.yaml", "__main__.py"):
        text = (ROOT / name).read_text()
        (folder / name).write_text(text.replace("10.200.5.0/24", "10.200.0.0/16").replace("10.200.5.", "10.200.255."))
    with contextlib.ExitStack() as servers:
        addresses = {
            stack: servers.enter_context(hostile_server.serving(hostile_server.ANSWERS[name]))
            for stack, name in NAMES.items()
        }
        hostile_server.kubeconfig(folder / "kubeconfig", **addresses)
        for number, stack in enumerate(NAMES):
            config = {
                "cluster": {"context": stack, "kubeconfig": "kubeconfig", "nodes": 2},
                "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
                "slice": {"rangeStart": f"10.200.{number}.10", "rangeEnd": f"10.200.{number}.90"},
            }
            written = {f"migration-network:{key}": value for key, value in config.items()}
            (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": written}))
        yield folder


@pytest.mark.parametrize("command", VERBS, ids=" ".join)
def test_every_server_has_its_sentence_and_nothing_of_ours_breaks(fleet: Path, command: list[str]) -> None:
    environment = ENVIRONMENT | {"HOME": str(fleet), "XDG_STATE_HOME": str(fleet / "state")}
    ended = forked.mignet(*command, cwd=fleet, env=environment, timeout=170)
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said[-3000:]
    assert "itself failed" not in said, [line for line in said.splitlines() if "itself failed" in line]
    assert ended.returncode == 1, said[-2000:]
    assert hostile_server.TOKEN not in said
    assert "\x1b" not in said
    named = {stack for stack in NAMES if re.search(rf"\b{stack}\b", said)}
    if command[0] not in {"report", "peers"} and "--to" not in command:
        # A report and a matrix count those that are alike.
        assert not NAMES.keys() - named, {NAMES[stack] for stack in NAMES.keys() - named}


def test_a_watch_tells_of_each_server_and_ends_in_order(fleet: Path, tmp_path: Path) -> None:
    watch = Watch(fleet, ENVIRONMENT | {"HOME": str(fleet), "XDG_STATE_HOME": str(tmp_path)}, log=tmp_path)
    try:

        def judged() -> bool:
            told = {each["stack"] for each in watch.told if each["what"] in {"cluster-lost", "finding-began"}}
            return told >= NAMES.keys()

        until(judged, seconds=150)
        assert not [each for each in watch.told if each["what"] == "failed"], watch.told
        assert watch.http.get("/healthz").status_code == 200
        assert watch.http.get("/metrics").status_code == 200
        page = watch.http.get("/", timeout=60)
        assert page.status_code == 200
        assert hostile_server.TOKEN not in page.text
        watch.process.terminate()
        assert watch.process.wait(20) == 0
    finally:
        watch.process.kill()
        watch.process.wait()
    said = watch.log.read_text() + watch.err.read_text()
    assert "Traceback" not in said, said[-3000:]
    assert "itself failed" not in said, [line for line in said.splitlines() if "itself failed" in line]
    assert hostile_server.TOKEN not in said
    assert "\x1b" not in said
    assert len(watch.err.read_text().splitlines()) == 1


def test_a_watch_refuses_each_stack_file_in_a_line_and_watches_the_sound_one(tmp_path: Path) -> None:
    hostile.project(tmp_path, "good")
    (tmp_path / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    written = {}
    for number, (name, write) in enumerate(hostile.FILES.items()):
        if name == "unreadable" and os.getuid() == 0:
            continue
        write(tmp_path / f"Pulumi.bad{number}.yaml")
        written[f"bad{number}"] = name
    logs = tmp_path / "logs"
    logs.mkdir()
    watch = Watch(tmp_path, ENVIRONMENT | {"HOME": str(tmp_path)}, log=logs)
    try:
        until(lambda: watch.told_of("cluster-lost", "good"), seconds=60)
        watch.process.terminate()
        assert watch.process.wait(20) == 0
    finally:
        watch.process.kill()
        watch.process.wait()
    refused = [each["stack"] for each in watch.told if each["what"] == "files-refused"]
    assert sorted(refused) == sorted(written), {written[each] for each in written.keys() ^ set(refused)}
    assert not [each for each in watch.told if each["what"] == "failed"]
    assert len(watch.err.read_text().splitlines()) == 1


def test_the_history_of_such_a_fleet_is_told_as_it_was(fleet: Path, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"HOME": str(fleet), "XDG_STATE_HOME": str(tmp_path)}
    for command in (["drift", "--all", "--engine", "direct"], ["up", "--all", "--yes", "--engine", "direct"]):
        assert forked.mignet(*command, cwd=fleet, env=environment, timeout=170).returncode == 1
    for options in ([], ["--verbose"], ["--json"], ["--check"]):
        ended = forked.mignet("history", *options, cwd=fleet, env=environment, timeout=60)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said[-2000:]
        assert "Traceback" not in said, said[-3000:]
        assert "itself failed" not in said, [line for line in said.splitlines() if "itself failed" in line]
        assert hostile_server.TOKEN not in said
        assert "\x1b" not in said
        if options == ["--json"]:
            assert {each["stack"] for each in document(ended.stdout)["entries"]} >= NAMES.keys()


def test_the_history_is_told_whatever_a_stack_file_is(tmp_path: Path) -> None:
    hostile.project(tmp_path, "good")
    for number, (name, write) in enumerate(hostile.FILES.items()):
        if name != "unreadable":
            write(tmp_path / f"Pulumi.bad{number}.yaml")
    environment = ENVIRONMENT | {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    forked.mignet("drift", "--all", "--engine", "direct", cwd=tmp_path, env=environment, timeout=60)
    for options in ([], ["good"], ["bad0"], ["--json"]):
        ended = forked.mignet("history", *options, cwd=tmp_path, env=environment, timeout=60)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said[-2000:]
        assert "Traceback" not in said, said[-3000:]
        assert "itself failed" not in said


@pytest.mark.parametrize("stack", NAMES, ids=NAMES.values())
def test_init_from_such_a_cluster_writes_nothing(fleet: Path, tmp_path: Path, stack: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    ended = forked.mignet(
        "init", "new", "--context", stack, "--kubeconfig", str(fleet / "kubeconfig"), "--from-cluster",
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "MIGNET_TIMEOUT": "1"},
        timeout=60,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode in {1, 2}, said
    assert "Traceback" not in said
    assert "itself failed" not in said, said
    assert hostile_server.TOKEN not in said
    assert not (tmp_path / "Pulumi.new.yaml").exists()
