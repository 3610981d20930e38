"""The installed script with its streams closed, full or read no further, and ctrl-c while it starts."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import BIN, ROOT

ENVIRONMENT = {"PATH": os.defpath, "HOME": "/nonexistent"}


def shell(redirection: str, *command: str) -> subprocess.CompletedProcess[str]:
    line = f'"$0" "$@" {redirection}'
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; {line}", BIN / "mignet", *command],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize("command", [("check",), ("check", "-o", "json"), ("schema",)], ids=" ".join)
def test_a_closed_stream_changes_nothing_else(redirection: str, command: tuple[str, ...]) -> None:
    ended = shell(redirection, *command)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert bool(ended.stdout) is (">&-" not in redirection.replace("2>&-", "").replace("<&-", ""))


def test_a_mistake_is_one_even_where_nobody_can_read_it() -> None:
    assert shell("2>&-", "check", "nope").returncode == 2


def test_what_cannot_be_printed_is_one_line() -> None:
    ended = shell(">/dev/full", "check")
    assert (ended.returncode, ended.stderr) == (1, "mignet: [Errno 28] No space left on device\n")


def test_who_reads_no_further_is_told_nothing() -> None:
    ended = shell("| head -1", "schema")
    assert ended.stderr == ""
    assert ended.stdout == "{\n"


def test_ctrl_c_while_it_starts_ends_it_without_a_word() -> None:
    process = subprocess.Popen(
        [BIN / "mignet", "check"], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    mapped = Path(f"/proc/{process.pid}/maps")
    # Without a pause: it has little left to do then.
    while "pydantic_core" not in mapped.read_text():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode in {-signal.SIGINT, 128 + signal.SIGINT}
    assert (out, err) == ("", "")


def test_what_runs_in_the_background_of_a_script_goes_on_ignoring_ctrl_c() -> None:
    program = "import signal, mignet.cli; mignet.cli._answer = lambda: print(signal.getsignal(signal.SIGINT).name);"
    ended = subprocess.run(
        [
            "/bin/bash",
            "-c",
            'trap "" INT; exec "$@"',
            "-",
            BIN / "python",
            "-c",
            f"{program} import mignet; mignet.main()",
        ],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "SIG_IGN\n", "")
