"""The command line: `mignet --help`."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

gc.disable()
# Looking for plugins of pydantic reads the metadata of everything that is installed.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import typer

from config.finding import ConfigError, UserError, unforeseen
from mignet.commands.addresses import app as addresses
from mignet.commands.apply import app as applies
from mignet.commands.arguments import FAILED
from mignet.commands.capacity import app as capacity
from mignet.commands.checkup import app as checkups
from mignet.commands.diagnose import app as diagnoses
from mignet.commands.drift import app as drifts
from mignet.commands.export import app as export
from mignet.commands.files import app as files
from mignet.commands.gather import app as gathers
from mignet.commands.help import app as helps
from mignet.commands.help import show_version
from mignet.commands.history import app as histories
from mignet.commands.limits import app as limits
from mignet.commands.look import app as looks
from mignet.commands.migrations import app as migrations
from mignet.commands.peers import app as peers
from mignet.commands.report import app as reports
from mignet.commands.watch import app as watches
from mignet.lab.commands import app as lab
from mignet.outputs.streams import make_visible

YOUNG = 50_000
"""Objects that are made before the collector looks at them; by default 700."""
TRACEBACK = "MIGNET_TRACEBACK"
"""Has a fault of the program itself shown with its traceback."""

Form = Literal["table", "json", "markdown"]

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="A dedicated live-migration network for OpenShift Virtualization clusters.\n\n"
    "Exit codes: 0 fine, 1 failed or stopped, 2 configuration, 7 changes or drift where none were expected, "
    "8 answered no, so that nothing was changed, 130 broken off by a second ctrl-c.",
)
app.add_typer(applies)
app.add_typer(files)
app.add_typer(addresses)
app.add_typer(looks)
app.add_typer(limits)
app.add_typer(capacity)
app.add_typer(migrations)
app.add_typer(diagnoses)
app.add_typer(gathers)
app.add_typer(peers)
app.add_typer(checkups)
app.add_typer(drifts)
app.add_typer(histories)
app.add_typer(reports)
app.add_typer(watches)
app.add_typer(lab, name="lab", rich_help_panel="Try, and hand over")
app.add_typer(export, name="export", rich_help_panel="Try, and hand over")
app.add_typer(helps)


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show what is installed, with versions."),
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # Closed by who started this: what would be printed there is wanted by nobody.
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    make_visible()
    # Until here, ctrl-c ended it without a word.
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What was imported stays to the end; a collector that looks at all of it again and again only costs time.
    gc.freeze()
    gc.set_threshold(YOUNG)
    gc.enable()
    try:
        _answer()
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        # Taking the interpreter apart is a seventh of a preview's time, for memory that goes with the process anyway.
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(end.code or 0)


def _answer() -> NoReturn:
    """Run the command line; configuration mistakes end it with one line each and exit code 2."""
    try:
        app()
    except UserError as error:
        lines = str(error)
        _fail(lines if isinstance(error, ConfigError) else f"mignet: {lines}", error.exit_code)
    except BrokenPipeError:
        # Who reads has seen enough.
        sys.exit(FAILED)
    except OSError as error:
        # A file that cannot be read or written, a folder that is none: the system's own words say which.
        _fail(f"mignet: {error}", FAILED)
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        _fail(f"mignet itself failed, please report it: {unforeseen(error)}; {TRACEBACK}=1 shows where", FAILED)
    sys.exit()


def _fail(message: str, code: int) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    sys.exit(code)
