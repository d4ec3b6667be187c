"""Embeddings of a collection in Parquet files: what `mite embed` writes and `mite index` reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mite_tf.errors import MiteError
from mite_tf.extras import from_extra
from mite_tf.files import write_text, written_beside
from mite_tf.reading import read_object, reading
from mite_tf.recognition import wrong_kind

SUMMARY = "embeddings.json"
# Changes when a reader of older folders would misunderstand.
_FORMAT = 1
_AGAIN = "Embed again with `mite embed`."
_SPACE, _SKIPPED, _WORDS = b"mite_tf.space", b"mite_tf.skipped", b"mite_tf.words"
_TYPES = ("float32", "float16")


class EmbeddedRows(NamedTuple):
    """Some rows of a collection, in columns.

    Attributes:
        ids: Unique within a collection.
        modalities: `image`, `text`, or `fused` for one vector of a picture and its text.
        paths: Where each picture lies; None for a text.
        texts: Each text; None for a picture.
        vectors: Float32 `[N, D]`, of length 1.
        image_bias: Float32 `[N]`: what hub correction takes off the score of each row where the
            query is a picture (`HubCorrection.bias`); None without a bank.
        text_bias: The same where the query is a text.
    """

    ids: Sequence[str]
    modalities: Sequence[str]
    paths: Sequence[str | None]
    texts: Sequence[str | None]
    vectors: NDArray[np.float32]
    image_bias: NDArray[np.float32] | None = None
    text_bias: NDArray[np.float32] | None = None


def write_shard(
    path: str | Path,
    rows: EmbeddedRows,
    *,
    space: str,
    dtype: Literal["float32", "float16"] = "float32",
    skipped: Mapping[str, str] | None = None,
    words: tuple[int, int] = (0, 0),
) -> None:
    """Writes rows to one Parquet file, whole or not at all; equal rows give equal bytes.

    Columns are `id`, `modality`, `path`, `text`, `embedding` (a list of fixed size of `dtype`),
    `image_bias` and `text_bias`; the hash of the space stands in the metadata of the schema, and
    there too what was `skipped`: the reason by the id, and how many `words` the texts have and how
    many of these are unknown to the model.

    Raises:
        MissingPackage: If pyarrow is not installed.
        OSError: If the file cannot be written.
    """
    with from_extra("search", "A file of embeddings"):
        import pyarrow
        import pyarrow.parquet
    vectors = np.ascontiguousarray(rows.vectors, dtype)
    of_floats = pyarrow.from_numpy_dtype(vectors.dtype)
    embedding = pyarrow.FixedSizeListArray.from_arrays(vectors.reshape(-1), vectors.shape[1])
    biases = [
        pyarrow.nulls(len(vectors), pyarrow.float32()) if bias is None
        else pyarrow.array(np.asarray(bias, np.float32))
        for bias in (rows.image_bias, rows.text_bias)
    ]  # fmt: skip
    texts = [
        pyarrow.array(list(column), pyarrow.string())
        for column in (rows.ids, rows.modalities, rows.paths, rows.texts)
    ]
    notes = ((_SKIPPED, skipped), (_WORDS, any(words) and words))
    told = {name: json.dumps(each) for name, each in notes if each}
    schema = pyarrow.schema(
        [(name, pyarrow.string()) for name in ("id", "modality", "path", "text")]
        + [("embedding", pyarrow.list_(of_floats, vectors.shape[1]))]
        + [(name, pyarrow.float32()) for name in ("image_bias", "text_bias")],
        metadata={_SPACE: space, **told},
    )
    table = pyarrow.Table.from_arrays([*texts, embedding, *biases], schema=schema)
    with written_beside(path, "wb") as file:
        # Embeddings hardly compress, and plain columns are read without a copy.
        pyarrow.parquet.write_table(table, file, compression="none", use_dictionary=["modality"])


class ShardFacts(NamedTuple):
    """What a file of embeddings holds: rows of each modality, and what was skipped, by id.

    `words` are how many its texts have, and how many of these the model does not know.
    """

    rows: Mapping[str, int]
    skipped: Mapping[str, str]
    words: tuple[int, int]


def shard_facts(path: str | Path) -> ShardFacts:
    """Reads what a file of embeddings holds, without its embeddings.

    Raises:
        MissingPackage: If pyarrow is not installed.
        MiteError: If it is missing or damaged.
    """
    with from_extra("search", "A file of embeddings"):
        import pyarrow.parquet
    with reading(path, "a shard of embeddings", _AGAIN):
        table = pyarrow.parquet.read_table(path, columns=["modality"])
        metadata = table.schema.metadata or {}
        count, unknown = json.loads(metadata.get(_WORDS, b"[0, 0]"))
        return ShardFacts(
            Counter(table.column("modality").to_pylist()),
            json.loads(metadata.get(_SKIPPED, b"{}")),
            (count, unknown),
        )


@dataclass(frozen=True, kw_only=True)
class EmbeddingFolder:
    """A folder of embeddings that is complete.

    Attributes:
        path: The folder.
        space: Hash of all that decides an embedding; only those of equal spaces compare.
        dimension: Size of the embeddings.
        dtype: `float32` or `float16`.
        model: Name and version of the export that has made them.
        export: Where that export lies.
        centres: Mean biases of hub correction, by modality of the query (`image`, `text`); None
            without a bank. They centre the bias that stands in one more dimension of an index.
        shards: Rows of each Parquet file, by its name.
    """

    path: Path
    space: str
    dimension: int
    dtype: str
    model: str
    export: str = ""
    centres: Mapping[str, float] | None = None
    shards: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(self.shards.values())

    def write(self) -> None:
        """Writes `embeddings.json`, which makes the folder complete."""
        values = {name: getattr(self, name) for name in _FIELDS}
        text = json.dumps({"mite_tf_embeddings": _FORMAT, **values}, indent=2)
        write_text(self.path / SUMMARY, f"{text}\n")

    @classmethod
    def read(cls, path: str | Path) -> EmbeddingFolder:
        """Reads what a folder says of itself.

        Raises:
            MiteError: If it is no folder of embeddings, or not a complete one.

        Example:
            >>> EmbeddingFolder.read("nowhere")
            Traceback (most recent call last):
            mite_tf.errors.MiteError: nowhere: no such folder. Make embeddings with `mite embed`.
        """
        folder = Path(path)
        make = "Make embeddings with `mite embed`."
        if not folder.exists():
            raise MiteError(f"{folder}: no such folder. {make}")
        file = folder / SUMMARY
        if not file.is_file():
            if folder.is_dir() and any(folder.glob("part-*.parquet")):
                raise MiteError(
                    f"{folder}: not complete. Give the same `mite embed` again to finish it."
                )
            raise wrong_kind(folder, f"no embeddings: it holds no {SUMMARY}", make)
        values = read_object(file, "a summary of embeddings", _AGAIN)
        with reading(file, "a summary of embeddings", _AGAIN):
            if values["mite_tf_embeddings"] != _FORMAT:
                raise ValueError(f"it is of format {values['mite_tf_embeddings']!r:.20}")
            found = cls(path=folder, **{name: values[name] for name in _FIELDS})
            counts = found.shards.values()
            if found.dtype not in _TYPES or not min(counts, default=-1) >= 0 or found.dimension < 1:
                raise ValueError("its values are out of range")
        return found

    def rows(self, most: int = 16384) -> Iterator[EmbeddedRows]:
        """Yields all rows in order, at most so many at once.

        Raises:
            MissingPackage: If pyarrow is not installed.
            MiteError: If a file is missing, damaged or of another space.
        """
        with from_extra("search", "A file of embeddings"):
            import pyarrow.parquet
        for name, count in self.shards.items():
            path = self.path / name
            with (
                reading(path, "a shard of these embeddings", _AGAIN),
                pyarrow.parquet.ParquetFile(path) as file,
            ):
                metadata = file.schema_arrow.metadata or {}
                if metadata.get(_SPACE, b"").decode() != self.space:
                    raise ValueError("it is of another model")
                if file.metadata.num_rows != count:
                    raise ValueError(f"it holds {file.metadata.num_rows} rows, not {count}")
                for batch in file.iter_batches(batch_size=most):
                    yield _rows_of(batch, self.dimension)


_FIELDS = ("space", "dimension", "dtype", "model", "export", "centres", "shards")


def _rows_of(batch: Any, dimension: int) -> EmbeddedRows:
    embedding = batch.column("embedding")
    if embedding.type.list_size != dimension or embedding.null_count:
        raise ValueError(f"its embeddings are not of size {dimension}")
    vectors = embedding.flatten().to_numpy().reshape(-1, dimension).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("an embedding is not finite")
    ids, modalities, paths, texts = (
        batch.column(name).to_pylist() for name in ("id", "modality", "path", "text")
    )
    biases = [batch.column(name) for name in ("image_bias", "text_bias")]
    return EmbeddedRows(
        ids, modalities, paths, texts, vectors,
        *(None if each.null_count else each.to_numpy() for each in biases),
    )  # fmt: skip
