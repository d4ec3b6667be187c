"""Errors that a person can act on, and text that is safe to print."""

import re

# What steers a terminal or breaks a line: control characters, line separators, overrides of the
# direction of text, and halves of surrogate pairs, which no encoding takes.
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


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


def printable(text: object, keep: str = "") -> str:
    r"""Returns a text with escapes in place of what would steer a terminal, such as ESC and NUL.

    Captions, names of files and what a server says come from elsewhere.

    Args:
        text: What is printed.
        keep: Characters to leave as they are.

    Example:
        >>> print(printable("a \x1b[31mred\x1b[0m dog, สุนัข"))
        a \x1b[31mred\x1b[0m dog, สุนัข
    """
    return _STEERING.sub(
        lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(text)
    )
