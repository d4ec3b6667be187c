"""The plan of a collection: what goes into which file of embeddings, written once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mite_tf.collection.sources import Item
from mite_tf.extras import from_extra
from mite_tf.files import written_beside
from mite_tf.reading import reading

PLAN = "plan.parquet"
# A text costs less than a sixteenth of a picture: 80 times less with a small network.
TEXTS_OF_PICTURE = 16
_KEY = b"mite_tf.plan"
_AGAIN = "Remove the folder and embed again."


@dataclass(frozen=True)
class Plan:
    """A plan that lies in a folder: a row group of `plan.parquet` for each file of embeddings.

    Attributes:
        path: The file.
        settings: All that decides the embeddings, and where the export lay.
        shards: Numbers of pictures and of texts, file by file.
        apart: How many items are a picture without a text, or a text without a picture.

    Example:
        >>> import tempfile
        >>> items = [Item("a.jpg", "/photos/a.jpg"), Item("b.jpg", "/photos/b.jpg")]
        >>> plan = Plan.make(tempfile.mkdtemp(), {}, items, shard_size=1)
        >>> plan.shards, plan.items(1)[0].id
        ([(1, 0), (1, 0)], 'b.jpg')
    """

    path: Path
    settings: Mapping[str, Any]
    shards: list[tuple[int, int]]
    apart: int

    @classmethod
    def make(
        cls,
        folder: str | Path,
        settings: Mapping[str, Any],
        items: Iterable[Item],
        *,
        shard_size: int,
    ) -> Plan:
        """Writes a plan, whole or not at all, and returns it.

        Args:
            folder: Folder for the embeddings.
            settings: What `settings` is to be.
            items: All there is to embed.
            shard_size: Most pictures of one file; sixteen texts count as one.

        Raises:
            MissingPackage: If pyarrow is not installed.
        """
        pyarrow = _pyarrow()
        columns = [(name, pyarrow.string()) for name in ("id", "picture", "fault")]
        columns += [(name, pyarrow.int64()) for name in ("start", "size")]
        schema = pyarrow.schema([*columns, ("texts", pyarrow.list_(pyarrow.string()))])
        shards, apart = [], 0
        path = Path(folder) / PLAN
        with (
            written_beside(path, "wb") as file,
            pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for shard in _cut(items, shard_size):
                rows = [each._asdict() for each in shard]
                writer.write_table(pyarrow.Table.from_pylist(rows, schema), len(rows))
                sound = [each for each in shard if each.fault is None]
                pictures = sum(each.picture is not None for each in sound)
                shards.append((pictures, sum(len(each.texts) for each in sound)))
                apart += sum((each.picture is None) or not each.texts for each in sound)
            whole = {"settings": dict(settings), "shards": shards, "apart": apart}
            writer.add_key_value_metadata({_KEY: json.dumps(whole)})
        return cls(path, settings, shards, apart)

    @classmethod
    def read(cls, folder: str | Path) -> Plan:
        """Reads the plan of a folder.

        Raises:
            MissingPackage: If pyarrow is not installed.
            MiteError: If there is none, or it is damaged.
        """
        pyarrow, path = _pyarrow(), Path(folder) / PLAN
        with reading(path, "a plan of `mite embed`", _AGAIN):
            found = json.loads(pyarrow.parquet.read_metadata(path).metadata[_KEY])
            shards = [(pictures, texts) for pictures, texts in found["shards"]]
            return cls(path, found["settings"], shards, found["apart"])

    @property
    def pictures(self) -> int:
        """How many pictures there are, but those that are known to be of no use."""
        return sum(pictures for pictures, _ in self.shards)

    @property
    def texts(self) -> int:
        """How many texts there are, likewise."""
        return sum(texts for _, texts in self.shards)

    def items(self, number: int) -> list[Item]:
        """Returns what goes into the file of this number.

        Raises:
            MiteError: If the plan is damaged.
        """
        with reading(self.path, "a plan of `mite embed`", _AGAIN):
            rows = self._file.read_row_group(number).to_pylist()
            return [Item(**each | {"texts": tuple(each["texts"])}) for each in rows]

    def holds(self, items: Iterable[Item]) -> bool:
        """Returns whether these are the planned items, in this order."""
        planned = (item for number in range(len(self.shards)) for item in self.items(number))
        given = iter(items)
        return all(item == next(given, None) for item in planned) and next(given, None) is None

    @cached_property
    def _file(self) -> Any:
        return _pyarrow().parquet.ParquetFile(self.path)


def part(folder: str | Path, number: int) -> Path:
    """Returns the path of the file of embeddings of this number.

    Example:
        >>> part("embeddings", 7).name
        'part-00007.parquet'
    """
    return Path(folder) / f"part-{number:05}.parquet"


def _cut(items: Iterable[Item], shard_size: int) -> Iterator[list[Item]]:
    shard: list[Item] = []
    cost = 0
    for item in items:
        own = TEXTS_OF_PICTURE * (item.picture is not None) + len(item.texts)
        if shard and cost + own > TEXTS_OF_PICTURE * shard_size:
            yield shard
            shard, cost = [], 0
        shard.append(item)
        cost += own
    if shard:
        yield shard


def _pyarrow() -> Any:
    with from_extra("search", "A plan of embeddings"):
        import pyarrow.parquet
    return pyarrow
