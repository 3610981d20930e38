"""`mignet watch`: keep an eye on the fleet, for as long as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mignet.commands.arguments import LOOK, All, Cwd, Select, Stacks, chosen, mistake, project_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.files.project_files import Project

app = typer.Typer()


@app.command(rich_help_panel=LOOK, epilog="Example: mignet watch --all --webhook https://chat.example.com/hook")
def watch(
    stacks: Stacks = None,
    *,
    all_: All = False,
    select: Select = None,
    output: Annotated[
        Literal["text", "json"], typer.Option("--output", "-o", help="The log: lines for people, or of JSON.")
    ] = "text",
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where /metrics, /healthz and the page are served.")
    ] = "127.0.0.1:9464",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="The token that readers have to show.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="The server's certificate, with its chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key (PEM).")] = None,
    webhook: Annotated[
        str | None,
        typer.Option("--webhook", metavar="URL", envvar="MIGNET_WEBHOOK", help="Send each change there, as JSON."),
    ] = None,
    webhook_token_file: Annotated[
        Path | None,
        typer.Option("--webhook-token-file", metavar="FILE", help="The bearer token for the webhook, if it exists."),
    ] = None,
    every: Annotated[
        float, typer.Option("--every", min=30, metavar="SECONDS", help="Judge each stack that often, changed or not.")
    ] = 300.0,
    docs: Annotated[
        str | None,
        typer.Option("--docs", metavar="URL", envvar="MIGNET_DOCS", help="Where your copy of the documents is served."),
    ] = None,
    cwd: Cwd = Path(),
) -> None:
    """Watch the clusters until it is ended: tell what changes, and serve metrics and the page; it writes nothing there.

    Ctrl-c or SIGTERM ends it with 0.
    """
    import asyncio

    from mignet.fleet.loading import load_first
    from mignet.watch.run import run
    from mignet.watch.server import parsed

    project = project_in(cwd)

    def choose(project: Project) -> Sequence[str]:
        return chosen(project, stacks, all_=all_, select=select)

    # Where no stack can be read, there is nothing to watch. The watch itself reads all of them.
    load_first(project, choose(project))
    where = parsed(listen, token=token_file, certificate=tls_cert, key=tls_key)
    if webhook is not None and not webhook.startswith(("https://", "http://")):
        mistake("--webhook", "is no URL", "Write it as https://HOST/PATH")
    if webhook_token_file is not None and webhook is None:
        mistake("--webhook-token-file", "is for --webhook", "Give both, or none")
    hook = None if webhook is None else (webhook, webhook_token_file)
    asyncio.run(run(cwd.resolve(), choose, listen=where, webhook=hook, log=output, every=every, docs=docs))
