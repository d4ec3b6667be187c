"""What is wrong with a corpus, and where."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from mite_tf.errors import MiteError, printable

Severity = Literal["error", "warning", "note"]

# An error makes the image or the caption unusable, a warning asks for a look, a note only informs.
KINDS: dict[str, Severity] = {
    # The annotation files.
    "bad-encoding": "error",
    "broken-json": "error",
    "malformed-row": "error",
    "unreadable-file": "error",
    "outside-root": "error",
    "nothing-read": "error",
    "git-lfs-pointer": "error",
    "colliding-keys": "error",  # one name for two things: what is under it is left out
    "repeated-key": "warning",  # a name stands twice, but nothing is lost
    "image-named-twice": "warning",
    "unread-file": "warning",
    "joined-captions": "note",  # of columns or files, so that an old copy is seen
    "unlisted-images": "note",
    # Captions and splits.
    "empty-caption": "error",
    "duplicate-caption": "warning",
    "unknown-caption": "warning",
    "unknown-words": "warning",
    "no-captions": "error",
    "captions-without-image": "warning",
    "missing-split": "error",
    "unknown-split": "warning",
    "absent-split": "warning",
    "small-split": "warning",
    "image-in-two-splits": "error",
    "content-in-two-splits": "error",
    # Image files.
    "missing-image": "error",
    "image-is-directory": "error",
    "symlink-loop": "error",
    "empty-file": "error",
    "unreadable-image": "error",
    "truncated-image": "error",
    "unsupported-type": "error",
    "gigantic-image": "error",
    "animated-image": "error",
    "identical-images": "warning",
    "non-rgb": "warning",
}


class Place(NamedTuple):
    """A line of a file, an entry of a JSON document such as `images[3]`, or the whole file."""

    file: str
    line: int | None = None
    entry: str | None = None

    def __str__(self) -> str:
        if self.entry is not None:
            return f"{self.file}, {self.entry}"
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def seen_from(self, other: "Place | None") -> str:
        """Writes the place for a message about another one: `in line 3`, or `at b.csv:3`."""
        own = self.entry or (f"line {self.line}" if self.line else None)
        return f"in {own}" if own and other and other.file == self.file else f"at {self}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, told on one line.

    Args:
        kind: One of `KINDS`, which also decides the severity.
        message: What is wrong, with the value, and what to do.
        where: File and line that the message is about.
        image: Id of the image concerned.

    Raises:
        MiteError: `kind` is not one of `KINDS`.

    Example:
        >>> print(Problem("empty-caption", "a.jpg has an empty caption", Place("a.csv", 7)))
        a.csv:7: a.jpg has an empty caption
    """

    kind: str
    message: str
    where: Place | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise MiteError(f"Unknown kind of problem {self.kind!r}; known: {', '.join(KINDS)}.")

    @property
    def severity(self) -> Severity:
        """`"error"`, `"warning"` or `"note"`."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        line = self.message if self.where is None else f"{self.where}: {self.message}"
        return printable(line)


def counted(number: int, noun: str) -> str:
    """Writes a number with its noun: `1 image`, `0 images`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def quote(text: str, limit: int = 60) -> str:
    """Quotes text for a message, shortened to `limit` characters."""
    return repr(_shortened(text, limit))


def shown(value: object, limit: int = 60) -> str:
    """Writes a value of any type for a message, as JSON would if it can, shortened."""
    return _shortened("null" if value is None else repr(value), limit)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
