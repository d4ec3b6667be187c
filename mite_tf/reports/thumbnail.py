"""Small pictures that live inside a page."""

import base64
import io
from pathlib import Path

from PIL import Image, ImageOps

from mite_tf.errors import MiteError


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
