"""What the constructors of this room say about a value they cannot use."""


def invalid(argument: str, value: object, expected: str) -> ValueError:
    """Builds the error for an argument outside its range.

    Args:
        argument: Name of the argument.
        value: What was received.
        expected: The rule it breaks, as in "a number above 0".

    Returns:
        The error, for the caller to raise.

    Example:
        >>> str(invalid("margin", -1, "a number above 0"))
        'Invalid value for argument `margin`. Expected a number above 0. Received: margin=-1'
    """
    return ValueError(
        f"Invalid value for argument `{argument}`. Expected {expected}. "
        f"Received: {argument}={value!r}"
    )
