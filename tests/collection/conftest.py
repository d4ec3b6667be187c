"""A few pictures with captions, and the same in all that holds pictures."""

import io
import tarfile

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

CAPTIONS = ["a dog runs.", "two red dogs", "a green circle", "run, dog", "red square left"]


def picture(number, format="PNG"):
    """A file of noise, another one for each number."""
    random = np.random.default_rng(number)
    pixels = random.integers(0, 256, (20 + number, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of five pictures; never changed."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["b.jpg", "a.png", "more/c.bmp", "more/d.GIF", "more/é f.webp"]):
        format = {"jpg": "JPEG"}.get(suffix := name.rpartition(".")[2].lower(), suffix.upper())
        (folder / name).write_bytes(picture(number, format))
    return folder


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_parquet(path, count=5, **columns):
    files = [{"bytes": picture(number), "path": f"{number}.png"} for number in range(count)]
    table = pyarrow.table({"image": files, "caption": CAPTIONS[:count], **columns})
    pyarrow.parquet.write_table(table, path, row_group_size=2)


def contents_of(folder):
    """The bytes of all files of a folder, by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
