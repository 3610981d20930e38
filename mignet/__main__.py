"""How mignet starts: nothing is imported before ctrl-c ends it without a word."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mignet.cli import main as run

    run()


if __name__ == "__main__":
    main()
