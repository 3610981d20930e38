"""Archives as anybody may hand them in: read whole, or refused in one line."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from config.finding import ConfigError
from mignet.evidence.archive import FORM, Archive, read, write
from mignet.kube.client import ClusterError

AT = datetime(2026, 11, 28, 1, 2, 3, tzinfo=UTC)
QUESTION = json.dumps(["get", "v1", "namespaces", None, {"name": "x"}], sort_keys=True)
OBJECT = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
PROJECT = {
    each: (ROOT / each).read_text().partition("# Of the empty")[0] for each in ("Pulumi.yaml", "Pulumi.dev.yaml")
}


def archive(**more: Any) -> Archive:
    clusters = {"dev": {"identity": "u", QUESTION: OBJECT, "open": ClusterError("unreachable", "is gone")}}
    fields = {"at": AT, "stacks": ("dev",), "versions": {}, "clusters": clusters, "declared": {}, "project": PROJECT}
    return Archive(**{**fields, **more})


def refusal(path: Path) -> str | None:
    """Return why a file is not read; None where it is."""
    try:
        read(path)
    except ConfigError as error:
        return str(error)
    return None


def packed(path: Path, files: dict[str, Any]) -> Path:
    """Write the members of a changed archive."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def members(**more: Any) -> dict[str, Any]:
    head = {
        "apiVersion": FORM,
        "gathered": "2026-11-28T01:02:03Z",
        "versions": {},
        "stacks": ["dev"],
        "clusters": ["dev"],
    }
    return {
        "archive.json": head | more,
        "clusters/0.json": {QUESTION: {"answer": OBJECT}},
        **{f"project/{name}": text.encode() for name, text in PROJECT.items()},
    }


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    write(path, archive())
    found = read(path)
    assert (found.at, found.stacks, found.project) == (AT, ("dev",), PROJECT)
    assert found.clusters["dev"][QUESTION] == OBJECT
    assert found.clusters["dev"]["open"].reason == "unreachable"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar.gz"]


def test_a_stack_file_loses_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    write(path, archive(project={"Pulumi.dev.yaml": "encryptionsalt: v1:abc:def\nconfig:\n  x:\n    secure: v1:ghi\n"}))
    (text,) = read(path).project.values()
    assert "v1:" not in text


HEADS = {"apiVersion": ["other/v9", 7], "gathered": ["soon", None], "stacks": [7], "clusters": [{"a": 1}, ["dev", "x"]]}
ANSWERS: list[Any] = [
    {QUESTION: {}},
    {QUESTION: {"answer": 7}},
    {QUESTION: {"answer": {"metadata": {}}}},
    {QUESTION: {"answer": {"metadata": {"name": "x", "labels": "y"}}}},
    {QUESTION: {"error": "a new one", "message": ""}},
    {QUESTION: {"conflicts": [1]}},
    {json.dumps(["list", "v1", "pods", None, {}]): {"answer": {"metadata": {"name": "x"}}}},
    {"[": {"answer": "x"}},
    {"identity": {"answer": {}}},
    [],
]
DECLARED: list[Any] = [
    [],
    {"objects": 7},
    {"objects": [{"manifest": {}, "patch": True}]},
    {"objects": [7], "outputs": {}},
]


def wrong() -> list[tuple[str, dict[str, Any]]]:
    found = [(f"{key} {value}", members(**{key: value})) for key, values in HEADS.items() for value in values]
    found += [(f"answer {each}", members() | {"clusters/0.json": each}) for each in ANSWERS]
    found += [(f"declared {each}", members() | {"declared/dev.json": each}) for each in DECLARED]
    return [
        *found,
        ("no head", {"project/Pulumi.yaml": b""}),
        ("no project", {"archive.json": members()["archive.json"], "clusters/0.json": {}}),
        ("text that is none", members() | {"project/Pulumi.yaml": b"\xff\xfe"}),
        ("deep", members() | {"clusters/0.json": b"[" * 100_000}),
    ]


@pytest.mark.parametrize("files", [files for _, files in wrong()], ids=[name for name, _ in wrong()])
def test_what_is_no_archive_is_refused(tmp_path: Path, files: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(packed(tmp_path / "a.tar.gz", files))
    assert "it is no archive of mignet gather" in str(caught.value)


@given(data=st.data())
def test_a_torn_or_changed_file_is_refused_or_read(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    whole = folder / "whole.tar.gz"
    write(whole, archive())
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    torn = folder / "torn.tar.gz"
    torn.write_bytes(content)
    refused = refusal(torn)
    assert refused is None or len(refused.splitlines()) == 1


@pytest.mark.parametrize("name", ["../evil", "sub/evil", "/tmp/evil", "Pulumi.dev.yaml/../../evil"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "a.tar.gz", members() | {f"project/{name}": b"x"})
    ended = forked.mignet("verify", "dev", "--from", str(path), cwd=tmp_path)
    assert "Traceback" not in ended.stderr
    assert not (tmp_path.parent / "evil").exists()
    assert not Path("/tmp/evil").exists()


CONTENTS = {
    "text": b"hello",
    "nothing": b"",
    "gzip of text": gzip.compress(b"hello"),
    "an empty tar": b"\0" * 10240,
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("verb", ["preflight", "verify", "drift", "peers", "limits", "diagnose", "report"])
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, verb: str, content: bytes) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "file").write_bytes(content)
    ended = forked.mignet(verb, "dev", "--from", "file", cwd=tmp_path)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    assert "--from file" in line
    assert not ended.stdout


def test_what_changes_something_does_not_go_with_what_is_kept(tmp_path: Path) -> None:
    for command in (["drift", "--fix", "--yes"], ["verify", "--migrate", "a/b"]):
        ended = forked.mignet(command[0], "dev", *command[1:], "--from", "x", cwd=tmp_path)
        assert ended.returncode == 2
        assert f"{command[1]} and --from exclude each other" in ended.stderr
