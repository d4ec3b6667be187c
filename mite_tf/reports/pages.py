"""HTML pages that need no other file: templates filled, figures and thumbnails put inside."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from mite_tf.errors import MiteError, printable
from mite_tf.files import write_text
from mite_tf.image_headers import Header
from mite_tf.orientation import orientation_of, upright
from mite_tf.reports.figures import to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 320  # of thumbnails, in pixels


class PageFigure(NamedTuple):
    """A figure of a page: its heading, its title for those who cannot see it, and a PNG file."""

    heading: str
    text: str
    png: bytes

    @classmethod
    def of(cls, heading: str, figure: "Figure") -> "PageFigure":
        """Renders a figure under a heading."""
        return cls(heading, figure.get_suptitle(), to_png(figure))

    @property
    def image(self) -> str:
        """The file as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def write_page(path: str | Path, template: str, **context: Any) -> None:
    """Fills a template of this folder, by its file name, and writes the page, whole or not at all.

    Values come by the names that the template uses, all of them; they are escaped for HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mite_tf.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(context))


def _shown(value: Any) -> Any:
    """Shows control characters as escapes; a browser hides what it does not refuse."""
    return value if hasattr(value, "__html__") else printable(value, keep="\n\t")


def thumbnail_uri(path: str | Path) -> str:
    """Reads an image file and returns it as `thumbnail_of` does.

    Raises:
        MiteError: If the file is missing or is not an image.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (640, 480), "red").save(path)
        >>> thumbnail_uri(path)[:27]
        'data:image/jpeg;base64,/9j/'
    """
    try:
        return thumbnail_of(Path(path).read_bytes())
    except OSError as error:
        raise MiteError(f"{path} cannot be read as an image: {error}") from error
    except MiteError as error:
        raise MiteError(f"{path} {error}") from error


def thumbnail_of(data: bytes, side: int = _SIDE) -> str:
    """Returns an image, made small, as a `data:` address for an HTML page.

    It is turned upright as its EXIF says, and transparency becomes white.

    Args:
        data: The bytes of an image file.
        side: Pixels of its longest side, at most.

    Raises:
        MiteError: If the bytes are no image, or a gigantic one; the sentence lacks its subject.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", (2 * side, 2 * side))  # lets JPEG decode fewer pixels
            Header(*opened.size).check()
            image = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MiteError(f"cannot be read as an image: {error}") from error
    image.thumbnail((side, side))
    image = Image.fromarray(np.ascontiguousarray(upright(np.asarray(image), orientation_of(data))))
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(image, mask=image)
    buffer = io.BytesIO()
    opaque.save(buffer, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
