"""Text of files and clusters is shown, and never acts: on a terminal, in a log of CI, in Markdown, HTML or SARIF."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hostile
import pytest
from forked import MIGNET, mignet
from hypothesis import given
from hypothesis import strategies as st

from config.attachment import Macvlan
from config.files.project_files import Project
from config.finding import ConfigError, Finding, Remark, Subject, UserError, shown, visible
from config.loading import read_stack
from config.types.model import parse
from mignet import report as reports
from mignet.fleet.last_checkup import Checkup, Way
from mignet.fleet.progress import Board
from mignet.fleet.results import Checked
from mignet.kube.client import ClusterError
from mignet.kube.diff import FieldChange, ObjectChange, Report, Writer
from mignet.outputs import RENDER, plan_markdown, terminal
from mignet.outputs.streams import Visible
from mignet.report import grouping
from mignet.report.rendering import markdown, page

NASTY = [
    "\x1b[2J\x1b]0;title\x07",
    "\x1b[31mred",
    "\x9b31m",
    "a\nb\r\nc\vd\x85e\u2028f",
    "\n::error file=x::gone",
    "::add-mask::a",
    "  ::stop-commands::x",
    "##[add-mask]a",
    "\u202egnp.exe",
    "\u2066a\u2069\u200b\ufeff",
    "\0",
    "\x7f\b\b",
    "\ud800",
    "\U000e0041",
    "</td><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "| a | b |",
    "```\n# head",
    "[click](javascript:alert(1))",
    "@someone #1 ~x~ *b* _i_ `c`",
    '"]:::bad\n  click a "javascript:alert(1)"',
    "%0A::error::x",
    "{{7*7}} {% raw %}",
]
ACTING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)
texts = st.lists(st.sampled_from(NASTY) | st.text(max_size=5), min_size=1, max_size=3).map("".join)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.find(hostile.project(tmp_path_factory.mktemp("project"), "a", "b"))


def uncoloured(text: str) -> str:
    """Take away what this program puts around a word, or a line, and not what is inside of one."""
    return re.sub(r"^\x1b\[(?:1|3[0-9])m([^\x1b]*)\x1b\[0m", r"\1", text, flags=re.MULTILINE)


def checked(project: Project, text: str) -> Checked:
    node = Subject(f"Node {text}", kind="Node", name=text, nodes=[text])
    findings = (
        Finding(node, text, f"is {text}", text, code="code", stack="a"),
        # No name of a file is half a character.
        Finding(
            text,
            {text: [text]},
            text,
            text,
            code="code",
            severity="warning",
            stack=text.replace("\ud800", ""),
            waived=text,
            peer=text,
        ),
    )
    return Checked(project, ("a", text), findings, (Remark("", text),), (Remark(text, text),), {text: 1})


@given(text=texts)
def test_no_output_of_findings_has_what_acts(project: Project, text: str) -> None:
    found = checked(project, text)
    for form, render in RENDER.items():
        out = uncoloured(render(found, project.directory))
        if form in {"json", "sarif"}:
            # On their way out; JSON that is read again has what was there.
            stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
            visible_ = Visible(stream)
            visible_.write(out)
            visible_.flush()
            out = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]
            json.loads(out)
        assert not ACTING.search(out), form
        if form != "github":
            assert not re.search(r"^\s*::", out, re.MULTILINE), form
        else:
            assert len(out.splitlines()) == 5
            assert re.fullmatch(r"(::(error|warning|notice)( file=[^\n]+?)?::.*\n){5}", out)
        assert "##[" not in out


@given(text=texts)
def test_a_table_in_markdown_stays_the_table(project: Project, text: str) -> None:
    out = RENDER["markdown"](checked(project, text), project.directory)
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert "<" not in out
    assert "](" not in out.replace("\\]", "")


@given(text=texts)
def test_a_message_in_sarif_is_no_link(project: Project, text: str) -> None:
    log = json.loads(RENDER["sarif"](checked(project, text), project.directory))
    assert all("](" not in each["message"]["text"] for each in log["runs"][0]["results"])


@given(text=texts)
def test_a_plan_is_a_line_for_each_of_its_parts(text: str) -> None:
    change = FieldChange(text, text, {text: text}, owner=text, by=Writer(text, "Apply", "2026"))
    changes = tuple(ObjectChange(each, text, text, text, (change,)) for each in ("create", "update", "delete"))  # type: ignore[arg-type]
    report = Report(text, "drift", "direct", changes=changes, warnings=(text,), left_out=(text,), apart=(text,))
    failed = Report(text, "up", "direct", error=text)
    for each in (report, failed):
        lines = list(terminal._lines(each, planned=False, verbose=True))
        assert all(not ACTING.search(uncoloured(line)) for line in lines)
        assert all("\n" not in line for line in lines)
    out = plan_markdown.render([report, failed])
    assert not ACTING.search(out)
    fenced = out.split("```diff\n")[1].split("\n```\n")[0]
    assert not re.search(r"^ {0,3}(```|~~~)", fenced, re.MULTILINE)
    assert all(re.match(r"[+!\- ] ", line) for line in fenced.splitlines())


@pytest.mark.parametrize("text", NASTY)
def test_a_report_shows_it_in_html_and_markdown(project: Project, text: str) -> None:
    way = Way(("a", text), ("b", text), ok=False, reason=text, rtt=None, mtu=None)
    report = asyncio.run(reports.look(project, ["a", "b"], None))
    finding = Finding(Subject(text, kind="Node", name=text, nodes=[text]), text, text, text, code="code", stack="a")
    checkup = Checkup(datetime.now(UTC), 2, 1, (way,), (finding,), (text,), {("a", text): text})
    found = grouping.told([finding])
    report = replace(report, findings=found, left_out=(text,), checkup=checkup)
    for out in (page.render(report), markdown.render(report)):
        assert not ACTING.search(out)
        assert "<script>alert" not in out
        assert "<img src=x" not in out


@given(text=texts)
def test_an_error_is_the_lines_that_it_has_of_its_own(text: str) -> None:
    for error in (UserError(text.replace("\n", " ")), ClusterError("refused", f"context c: {text}")):
        assert not ACTING.search(str(error))
        assert "\n" not in str(error)
    findings = [Finding("key", text, text, text, code="code", stack="a")] * 2
    assert len(str(ConfigError(findings)).split("\n")) == 2
    assert not ACTING.search(shown({text: text}))


def test_progress_is_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    with Board(["a", "::error::b"]) as board:
        for text in NASTY:
            board.watch("::error::b", "failed", f"::error::b: {text}")
            board.say("a", text)
            board.tell(text)
    said = capsys.readouterr().err
    assert not ACTING.search(said)
    assert not re.search(r"^\s*::", said, re.MULTILINE)


def test_the_streams_let_colours_and_lines_of_our_own_through() -> None:
    below = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    stream = Visible(below)
    stream.write("\x1b[31mred\x1b[0m\n::error file=a,line=1::b\n::notice::c\n::add-mask::d\n→ \x1b[2J\ud800\n")
    assert below.buffer.getvalue().decode() == (  # type: ignore[attr-defined]
        "\x1b[31mred\x1b[0m\n::error file=a,line=1::b\n::notice::c\n\\u003a:add-mask::d\n\\u2192 \\u001b[2J\\ud800\n"
    )


def test_names_of_stack_files_are_text_too(tmp_path: Path) -> None:
    hostile.project(tmp_path, "good")
    for name in ("::error::x", "a\n::error::b", "\x1b[2J", "\u202ea", b"\xff\xfe"):
        raw = name.encode() if isinstance(name, str) else name
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/Pulumi." + raw + b".yaml")).write_text("config: {}\n")
    for form in RENDER:
        ended = mignet("check", "-o", form, cwd=tmp_path)
        assert ended.returncode == 2, ended.stderr
        assert ended.stderr == ""
        assert not ACTING.search(ended.stdout)
        assert form == "github" or not re.search(r"^\s*::", ended.stdout, re.MULTILINE)
    for verb in ("preview", "verify", "plan-addresses", "report"):
        ended = mignet(verb, *(["--files"] if verb == "report" else []), cwd=tmp_path)
        assert "Traceback" not in ended.stderr
        assert not ACTING.search(ended.stdout + ended.stderr)
        assert not re.search(r"^\s*::", ended.stdout + ended.stderr, re.MULTILINE)


def test_a_terminal_without_unicode_gets_what_it_can_show(tmp_path: Path) -> None:
    hostile.project(tmp_path, "good")
    (tmp_path / "Pulumi.bad.yaml").write_text('config: {slice: "ä → \\e[2J"}\n')
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    ended = subprocess.run([sys.executable, MIGNET, "check"], cwd=tmp_path, env=plain, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, b"")
    assert "ä → \\u001b[2J" in ended.stdout.decode()


@pytest.mark.parametrize(
    "name", ["eth0\0", "eth\x1b[m", "eth\x7f", "eth 0", "eth\u00a00", "eth%d", "a/b", "a:b", ".", ".."]
)
def test_an_interface_has_a_name_that_the_kernel_takes(name: str) -> None:
    values = {"type": "macvlan", "name": "n", "master": name}
    (finding,) = parse(Macvlan, values, stack="a", key="attachment")  # type: ignore[misc]
    assert finding.code in {"name-interface", "value-unseen-character"}
    assert not ACTING.search(str(finding))


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\0", "\u202ea", "\x9b", "\x7f"])
def test_no_text_of_a_stack_acts(text: str) -> None:
    values: dict[str, Any] = {"cluster": {"context": text}, "waivers": {"slice-short": text}, "labels": {text: "a"}}
    _, findings = read_stack("a", values)
    found = [finding.key for finding in findings if finding.code == "value-unseen-character"]
    assert found == ["cluster.context", "labels", "waivers.slice-short"]


def test_text_that_is_harmless_stays_as_it_is() -> None:
    for text in ("plain", "ä → é 漢字 😀", "a: b::c", "[a](b)", "100 %"):
        assert visible(text) == text
