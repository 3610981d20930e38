"""The one error of the lab."""


class LabError(Exception):
    """What went wrong, in one line for the user: it names the file or process, and what to do."""
