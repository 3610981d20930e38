"""`mignet lab`: the lab's commands."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mignet.lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mignet.lab.lab import Lab

app = typer.Typer(
    help="Two clusters for development on this machine: real API servers, with nodes and a HyperConverged to work on.",
    no_args_is_help=True,
)


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """Turn a LabError into its one line and exit code 1."""
    try:
        yield
    except LabError as error:
        typer.echo(f"mignet lab: {error}", err=True)
        raise typer.Exit(1) from error


def _lab(*, dataplane: bool = False) -> Lab:
    # Only here: `mignet --help` need not wait for what starts servers.
    from mignet.lab.lab import Lab

    # What was installed has no stacks of its own: its lab is everybody's.
    folder = Path(__file__).resolve().parents[2]
    return Lab(dataplane=dataplane, checkout=folder if (folder / "Pulumi.yaml").is_file() else None)


@app.command()
def up(
    *,
    dataplane: Annotated[
        bool, typer.Option("--dataplane", help="Give each node a NIC on one fabric, for checkups; needs root.")
    ] = False,
) -> None:
    """Bring the lab up, or repair it; does nothing when all of it runs.

    MIGNET_LAB_CRDS names a folder of real CustomResourceDefinitions to serve; else slim ones are served.
    KUBEBUILDER_ASSETS names a folder with etcd and kube-apiserver; else they are built once, which takes minutes.
    """
    with _reported():
        lab = _lab(dataplane=dataplane)
        lab.up(lambda line: typer.echo(line, err=True))
        typer.echo(f"export KUBECONFIG={shlex.quote(str(lab.kubeconfig))}  # contexts: {', '.join(lab.clusters)}")


@app.command()
def down(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the clusters' data for the next `up`.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if it is the lab of another checkout.")] = False,
) -> None:
    """End the lab's processes and remove its data."""
    with _reported():
        _lab().down(keep=keep, force=force)


@app.command()
def status() -> None:
    """Show each process; exit with 1 unless all of them are ready."""
    with _reported():
        processes = _lab().status()
    for process in processes:
        state = "ready" if process.ready else "running, not ready" if process.running else "down"
        note = "  (simulated)" if process.name in {"operators", "dataplane"} else ""
        typer.echo(f"{process.name:<12} {state:<20} pid {process.pid or '-':<9} port {process.port or '-'}{note}")
    if not all(process.ready for process in processes):
        raise typer.Exit(1)


@app.command()
def fault(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME[=ABOUT]]...", help="Faults; ABOUT is a node or a number.")
    ] = None,
    *,
    cluster: Annotated[str | None, typer.Option(help="The cluster; the first one when left out.")] = None,
) -> None:
    """Switch faults on in what the stand-ins for the operators do; list them when none is named."""
    from mignet.lab.fault_store import Switchboard

    with _reported():
        lab = _lab()
        board = Switchboard(lab, cluster or lab.clusters[0])
        if names:
            board.switch_on(names)
            typer.echo(f"{board.cluster}: on: {', '.join(board.on())}")
            return
        on = board.on()
        for name, effect in board.known.items():
            typer.echo(f"{'on ' if name in on else '   '} {name:<26} {effect}")


@app.command()
def heal(
    *, cluster: Annotated[str | None, typer.Option(help="The cluster; all of them when left out.")] = None
) -> None:
    """Switch all faults off."""
    from mignet.lab.fault_store import Switchboard

    with _reported():
        lab = _lab()
        for name in [cluster] if cluster else lab.clusters:
            Switchboard(lab, name).heal()


@app.command()
def kubeconfig() -> None:
    """Print the path of the kubeconfig."""
    typer.echo(_lab().kubeconfig)


@app.command()
def env() -> None:
    """Print what a shell needs to work on the lab with kubectl and Pulumi: eval "$(mignet lab env)"."""
    for name, value in _lab().pulumi_environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def pulumi() -> None:
    """Print a PATH that has Pulumi: export PATH="$(mignet lab pulumi)".

    Where it is not installed, its CLI and Kubernetes provider are built once, which takes many minutes. For the lab
    alone: the host of programs in Python is the lab's own.
    """
    from mignet.lab.pulumi_programs import programs

    with _reported():
        typer.echo(programs.path(lambda line: typer.echo(line, err=True)))
