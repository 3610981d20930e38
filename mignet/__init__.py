"""mignet: the operator's tool around the Pulumi program."""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; until it has been imported, ctrl-c ends it without a word."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mignet.cli import main as run

    run()
