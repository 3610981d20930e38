"""The fleet as a workflow of GitHub Actions: a plan on each pull request, applied wave by wave, and a look at drift.

Source: GitHub's documentation, "Workflow syntax for GitHub Actions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHECKOUT = {"uses": "actions/checkout@v4"}
_PYTHON = {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}}
_PULUMI = {"uses": "pulumi/actions@v6"}
"""Without a command, it installs the CLI."""
_INSTALL = {
    "name": "Install",
    "run": "python -m venv .venv\n.venv/bin/pip install --quiet --requirement requirements.txt\n",
}
_KUBECONFIG = {
    "name": "Kubeconfig",
    "env": {"KUBECONFIG_CONTENTS": "${{ secrets.KUBECONFIG }}"},
    "run": 'umask 077\nprintf %s "$KUBECONFIG_CONTENTS" > "$RUNNER_TEMP/kubeconfig"\n'
    'echo "KUBECONFIG=$RUNNER_TEMP/kubeconfig" >> "$GITHUB_ENV"\n',
}
_PULUMI_SECRETS = {
    "PULUMI_BACKEND_URL": "${{ vars.PULUMI_BACKEND_URL }}",
    "PULUMI_ACCESS_TOKEN": "${{ secrets.PULUMI_ACCESS_TOKEN }}",
    "PULUMI_CONFIG_PASSPHRASE": "${{ secrets.PULUMI_CONFIG_PASSPHRASE }}",
}

_DAILY = [{"cron": "23 5 * * *"}]
_PLANNED = "github.event_name == 'pull_request'"

COMMENT_BYTES = 60000
"""What is kept of a comment: GitHub refuses more than 65536 characters."""


def workflow(waves: Sequence[Sequence[str]], *, engine: str, branch: str, image: str) -> dict[str, Any]:
    """Return the workflow. Each wave of stacks is a job that waits for the one before, verify included.

    `engine` is `pulumi` or `direct`; `image` the label of the runner.
    """
    stacks = [stack for wave in waves for stack in wave]
    setup: list[dict[str, Any]] = [_CHECKOUT, _PYTHON, *([_PULUMI] if engine == "pulumi" else []), _INSTALL]
    secrets = _PULUMI_SECRETS if engine == "pulumi" else {}
    jobs: dict[str, Any] = {
        "check": {"runs-on": image, "timeout-minutes": 10, "steps": [*setup, _check()]},
        "plan": {
            "if": _PLANNED,
            "needs": "check",
            "runs-on": image,
            "timeout-minutes": 30,
            "permissions": {"contents": "read"},
            "strategy": {"fail-fast": False, "matrix": {"stack": stacks}},
            "env": secrets,
            "steps": [*setup, _KUBECONFIG, *_plan(engine)],
        },
        "comment": {
            "if": f"{_PLANNED} && !cancelled()",
            "needs": ["check", "plan"],
            "runs-on": image,
            "timeout-minutes": 10,
            "permissions": {"contents": "read", "pull-requests": "write"},
            "steps": [*setup, _COLLECT, _comment("plans/*.md")],
        },
        "drift": _drift(setup, secrets, engine=engine, image=image),
    }
    before = "check"
    for number, wave in enumerate(waves, start=1):
        name = f"apply-{number}"
        jobs[name] = {
            "if": f"github.event_name == 'push' && github.ref == 'refs/heads/{branch}'",
            "needs": before,
            "runs-on": image,
            "timeout-minutes": 120,
            "permissions": {"contents": "read"},
            "environment": "production",
            # Two runs never work on one stack at a time; a started one is never cut off.
            "concurrency": {"group": "migration-network-${{ matrix.stack }}", "cancel-in-progress": False},
            "strategy": {"fail-fast": False, "matrix": {"stack": list(wave)}},
            "env": secrets,
            "steps": [*setup, _KUBECONFIG, *_apply(engine)],
        }
        before = name
    return {
        "name": "migration-network",
        "on": {"pull_request": {}, "push": {"branches": [branch]}, "schedule": _DAILY, "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "jobs": jobs,
    }


def first_workflow() -> dict[str, Any]:
    """Return that of a new project, whatever stacks it will have: all of them are planned and looked at, none applied.

    It needs no Pulumi, and no secret but a kubeconfig.
    """
    setup: list[dict[str, Any]] = [_CHECKOUT, _PYTHON, _INSTALL]
    plan = {
        "if": _PLANNED,
        "runs-on": "ubuntu-latest",
        "timeout-minutes": 30,
        "permissions": {"contents": "read", "pull-requests": "write"},
        "steps": [
            *setup,
            _check(),
            _KUBECONFIG,
            {"name": "Preview and preflight", "run": _planned("--all", "plan.md", engine="direct")},
            _comment("plan.md") | {"if": "!cancelled()"},
        ],
    }
    return {
        "name": "migration-network",
        "on": {"pull_request": {}, "schedule": _DAILY, "workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "jobs": {"plan": plan, "drift": _drift(setup, {}, engine="direct", image="ubuntu-latest")},
    }


def _drift(setup: list[dict[str, Any]], secrets: dict[str, str], *, engine: str, image: str) -> dict[str, Any]:
    """Return the job that looks for drift: exit code 7 fails it."""
    return {
        "if": "github.event_name == 'schedule' || github.event_name == 'workflow_dispatch'",
        "runs-on": image,
        "timeout-minutes": 30,
        "permissions": {"contents": "read"},
        "env": secrets,
        "steps": [
            *setup,
            _KUBECONFIG,
            {"name": "Look for drift", "run": f".venv/bin/mignet drift --all --engine {engine}"},
        ],
    }


def _planned(stacks: str, file: str, *, engine: str) -> str:
    """Return a script that writes the plan of stacks into a file, and fails where something speaks against it."""
    # Both, whatever one of them finds: the comment shows what there is.
    return (
        f"{{\n  .venv/bin/mignet preview {stacks} --engine {engine} --output markdown || failed=1\n"
        f"  .venv/bin/mignet preflight {stacks} --output markdown || failed=1\n"
        f'}} > "{file}"\nexit "${{failed:-0}}"\n'
    )


def _check() -> dict[str, Any]:
    return {"name": "Check all stack files", "run": ".venv/bin/mignet check --output github"}


def _plan(engine: str) -> list[dict[str, Any]]:
    return [
        {
            "name": "Preview and preflight",
            "env": {"STACK": "${{ matrix.stack }}"},
            "run": "mkdir plan\n" + _planned('"$STACK"', "plan/$STACK.md", engine=engine),
        },
        {
            "name": "Keep the plan",
            "if": "!cancelled()",
            "uses": "actions/upload-artifact@v4",
            "with": {"name": "plan-${{ matrix.stack }}", "path": "plan"},
        },
    ]


_COLLECT = {
    "name": "Collect the plans",
    "uses": "actions/download-artifact@v4",
    "with": {"pattern": "plan-*", "path": "plans", "merge-multiple": True},
}


def _comment(plans: str) -> dict[str, Any]:
    return {
        "name": "Comment",
        "env": {"GH_TOKEN": "${{ github.token }}", "PULL_REQUEST": "${{ github.event.number }}"},
        "run": "{\n"
        "  echo '## Migration network'\n  echo\n"
        "  .venv/bin/mignet check --output markdown || true\n"
        "  echo '<details><summary>Addresses</summary>'\n  echo\n  echo '```text'\n"
        "  .venv/bin/mignet plan-addresses || true\n"
        "  echo '```'\n  echo '</details>'\n  echo\n"
        f"  cat {plans} || true\n"
        f"}} | head --bytes={COMMENT_BYTES} > comment.md\n"
        'gh pr comment "$PULL_REQUEST" --body-file comment.md --edit-last --create-if-none\n',
    }


def _apply(engine: str) -> list[dict[str, Any]]:
    stack = {"STACK": "${{ matrix.stack }}"}
    # The order of the waves is that of the jobs; a run over one stack has none.
    up = f'.venv/bin/mignet up "$STACK" --engine {engine} --no-waves --yes'
    return [
        {"name": "Apply", "env": stack, "run": up},
        {"name": "Verify", "env": stack, "run": '.venv/bin/mignet verify "$STACK"'},
    ]
