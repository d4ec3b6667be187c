"""HTML pages that need no other file: templates filled, figures and thumbnails put inside."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageOps

from mite_tf.errors import MiteError
from mite_tf.files import write_text
from mite_tf.reports.figures import to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PageFigure(NamedTuple):
    """A figure of a page.

    Attributes:
        heading: Heading above it.
        text: The figure's title, for those who cannot see it.
        png: The figure as a PNG file.
    """

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
    """Fills a template and writes the page, whole or not at all.

    Args:
        path: File to write.
        template: File name of a template beside this module.
        **context: Values by the names that the template uses; they are escaped for HTML.

    Raises:
        jinja2.UndefinedError: If `context` lacks a name.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mite_tf.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(context))


def thumbnail_uri(path: str | Path, *, max_side: int = 320, quality: int = 82) -> str:
    """Reads an image and returns it, made small, as a `data:` address for an HTML page.

    The camera's rotation is applied and transparency becomes white.

    Args:
        path: Image file of any kind that Pillow reads.
        max_side: Longest side in pixels; smaller images keep their size.
        quality: JPEG quality, 1 to 95.

    Returns:
        Text that starts with `data:image/jpeg;base64,`.

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
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * max_side, 2 * max_side))  # lets JPEG decode fewer pixels
            image = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MiteError(f"{path} cannot be read as an image: {error}") from error
    image.thumbnail((max_side, max_side))
    opaque = Image.new("RGB", image.size, "white")
    opaque.paste(image, mask=image)
    buffer = io.BytesIO()
    opaque.save(buffer, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
