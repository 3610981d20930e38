"""mignet: the operator's tool around the Pulumi program."""

from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; until it has been imported, ctrl-c ends it without a word."""
    import signal

    # A shell that starts it in the background has ctrl-c ignored, and that stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mignet.cli import main as run

    run()
