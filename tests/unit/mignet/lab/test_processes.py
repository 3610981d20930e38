"""Starting, recognizing and ending background processes."""

import dataclasses
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mignet.lab.servers import processes
from mignet.lab.servers.processes import EndedEarlyError, Process, free_port, start, stop

Started = dict[str, Process]


def run(tmp_path: Path, program: str) -> Process:
    return start("it", [sys.executable, "-c", program], port=1, log=tmp_path / "it.log")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = run(tmp_path, "import signal; signal.pause()")
    yield process
    stop([process])


def test_a_started_process_is_on_its_own_and_has_nothing_of_our_environment(tmp_path: Path) -> None:
    facts = "import json, os, sys; print(json.dumps([os.getsid(0), sys.stdin.read(), [*os.environ], os.getcwd()]))"
    process = run(tmp_path, facts)
    psutil.Process(process.pid).wait(10)
    session, standard_input, environment, folder = json.loads((tmp_path / "it.log").read_text())
    assert session == process.pid
    assert standard_input == ""
    assert "HOME" not in environment
    assert "PATH" not in environment
    assert folder == str(tmp_path)
    assert stat.S_IMODE((tmp_path / "it.log").stat().st_mode) == 0o600


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        psutil.Process(run(tmp_path, f"print('{word}')").pid).wait(10)
    assert (tmp_path / "it.log").read_text() == "third\n"
    assert (tmp_path / "it.log.previous").read_text() == "second\n"


def test_a_process_runs_until_it_has_ended_even_if_nobody_has_waited_for_it(sleeper: Process) -> None:
    assert sleeper.running
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(sleeper.pid).status() == psutil.STATUS_ZOMBIE
    assert not sleeper.running


def test_another_process_with_the_same_number_is_not_ours_and_is_not_ended(sleeper: Process) -> None:
    earlier = dataclasses.replace(sleeper, created=sleeper.created - 60)
    assert not earlier.running
    stop([earlier])
    assert sleeper.running


def test_a_process_that_does_not_heed_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 0.2)
    deaf = run(
        tmp_path, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    )
    log = tmp_path / "it.log"
    while not log.read_bytes():
        assert deaf.running
    stop([deaf])
    assert not deaf.running
    assert not psutil.pid_exists(deaf.pid)


def test_a_process_that_another_program_started_and_never_waited_for_counts_as_ended(tmp_path: Path) -> None:
    starter = """
import dataclasses, json, sys
from pathlib import Path
from mignet.lab.servers.processes import start
process = start("it", [sys.executable, "-c", "import signal; signal.pause()"], port=1, log=Path("it.log").absolute())
print(json.dumps(dataclasses.asdict(process)), flush=True)
input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path, text=True, **pipes) as other:
        assert other.stdout is not None
        process = Process(**json.loads(other.stdout.readline()))
        stop([process])
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        assert not process.running
        other.communicate("\n")


def test_a_port_is_kept_while_nobody_listens_there() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    assert free_port(port, avoid=()) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert free_port(port, avoid=()) != port


def test_an_early_end_is_told_in_one_line_and_says_whether_the_port_was_taken(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_text("\n".join([*"abcdefgh", "listen tcp 127.0.0.1:1: bind: address already in use"]))
    error = EndedEarlyError("it", log)
    assert str(error).startswith("it ended before it was ready; the end of ")
    assert "\n" not in str(error)
    assert error.port_taken
    log.write_text("")
    assert not EndedEarlyError("it", log).port_taken
    assert str(EndedEarlyError("it", log)).endswith("(empty)")
