"""What every format of captions offers to `mite_tf.data.read`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mite_tf.data.formats.gathering import Gathering


@dataclass(frozen=True)
class Format:
    """One way to write captions down.

    Args:
        name: As the user types it.
        looks_for: What `find` looks for, for error messages.
        find: From a folder or file, the files that hold the captions; empty when the path does
            not hold this format.
        read: Reads those files into a gathering. A bad row becomes a problem, never an error.

    Example:
        >>> from mite_tf.data.formats.json_lines import JSONL
        >>> [file.name for file in JSONL.find(Path("captions.jsonl"))]
        ['captions.jsonl']
    """

    name: str
    looks_for: str
    find: Callable[[Path], list[Path]]
    read: Callable[[Sequence[Path], Gathering], None]
