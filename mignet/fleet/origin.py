"""Who runs mignet, and on which commit of the project: as the system tells, and a CI's environment."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.files.file_text import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACTORS = (
    ("GITHUB_ACTOR", "GITHUB_ACTIONS"),
    ("GITLAB_USER_LOGIN", "GITLAB_CI"),
    ("BUILD_REQUESTEDFOR", "TF_BUILD"),
    ("BUILDKITE_BUILD_CREATOR", "BUILDKITE"),
    ("CIRCLE_USERNAME", "CIRCLECI"),
    ("BUILD_USER_ID", "JENKINS_URL"),
)
"""The variables by which CI systems name who began a run, and one that says that it is such a system's run.

Source: the documents of GitHub and Gitea Actions, GitLab CI, Azure Pipelines, Buildkite, CircleCI, and Jenkins' plugin
build-user-vars.
"""
GIT_SECONDS = 3.0
"""How long git may take to say whether files are changed."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who runs this. `known` says how: `system` (the account), or the variable of the environment that names them."""

    name: str
    known: str
    account: str
    host: str


def actor(environment: Mapping[str, str]) -> Actor:
    """Return who runs this process: whom a CI names, who is behind sudo, or the account."""
    uid = os.getuid()
    try:
        account = pwd.getpwuid(uid).pw_name
    except KeyError:
        # In a container, the number of a user need not have a name.
        account = str(uid)
    host = socket.gethostname()
    for variable, system in ACTORS:
        if environment.get(system) and (name := environment.get(variable)):
            return Actor(name, variable, account, host)
    if uid == 0 and (name := environment.get("SUDO_USER")):
        return Actor(name, "SUDO_USER", account, host)
    return Actor(account, "system", account, host)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of git; `dirty` is whether files differ from it, None where git is not there to tell."""

    id: str
    dirty: bool | None


def commit(folder: Path) -> Commit | None:
    """Return the commit that a folder is at; None when it is in no repository, or that cannot be read."""
    found = None
    with contextlib.suppress(OSError, ValueError):
        found = _head(folder)
    return None if found is None else Commit(found, _is_dirty(folder))


def _head(folder: Path) -> str | None:
    """Read the commit from the repository's files: git itself is not in every container."""
    git = next((each / ".git" for each in (folder, *folder.parents) if (each / ".git").exists()), None)
    if git is None:
        return None
    if git.is_file():
        # A worktree, or a submodule.
        git = git.parent / read_text(git).removeprefix("gitdir:").strip()
    common = git / read_text(git / "commondir").strip() if (git / "commondir").is_file() else git
    head = read_text(git / "HEAD").strip()
    if not head.startswith("ref:"):
        return head if _COMMIT.fullmatch(head) else None
    name = head.removeprefix("ref:").strip()
    if ".." in name or not name.startswith("refs/"):
        return None
    for place in (git, common):
        if (place / name).is_file():
            loose = read_text(place / name).strip()
            return loose if _COMMIT.fullmatch(loose) else None
    packed = read_text(common / "packed-refs", most=64 << 20).splitlines()
    return next((id_ for id_, _, ref in (line.partition(" ") for line in packed) if ref == name), None)


def _is_dirty(folder: Path) -> bool | None:
    git = shutil.which("git")
    if git is None:
        return None
    # Nothing that the repository's own settings name is run, and nothing is written there.
    command = [git, "--no-optional-locks", "-c", "core.fsmonitor=false", "status", "--porcelain", "--", "."]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        said = subprocess.run(  # noqa: S603
            command, cwd=folder, env=variables, capture_output=True, check=False, timeout=GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return bool(said.stdout.strip()) if said.returncode == 0 else None
