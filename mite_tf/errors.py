"""Errors that a person can act on."""


class MiteError(ValueError):
    """Input that cannot be used: the message says what, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """
