"""Errors that a person can act on."""


class MiteError(ValueError):
    """Input that cannot be used: the message says what, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


class UnknownWordsWarning(UserWarning):
    """A text without any word that was learned: its embedding says nothing about it."""


def invalid_argument(argument: str, value: object, expected: str) -> ValueError:
    """Builds the error for an argument outside its range.

    Args:
        argument: Name of the argument.
        value: What was received.
        expected: The rule it breaks, as in "a number above 0".

    Returns:
        The error, for the caller to raise.

    Example:
        >>> str(invalid_argument("margin", -1, "a number above 0"))
        'Invalid value for argument `margin`. Expected a number above 0. Received: margin=-1'
    """
    return ValueError(
        f"Invalid value for argument `{argument}`. Expected {expected}. "
        f"Received: {argument}={value!r}"
    )
