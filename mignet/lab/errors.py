"""The one error of the lab."""

from config.finding import UserError


class LabError(UserError):
    """What went wrong, in one line for the user: it names the file or process, and what to do."""
