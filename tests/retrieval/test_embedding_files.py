"""Embeddings of a collection in Parquet files."""

import json
import re

import numpy as np
import pyarrow.parquet
import pytest

from mite_tf.errors import MiteError
from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder, write_shard


def rows(count, *, bias=True):
    vectors = np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = range(count // 2)
    return EmbeddedRows(
        ids=[f"{number}" for number in range(count)],
        modalities=["image", "text"] * (count // 2),
        paths=[each for pair in pairs for each in (f"{pair}.jpg", None)],
        texts=[each for pair in pairs for each in (None, f"text {pair}")],
        vectors=vectors,
        image_bias=np.linspace(0, 1, count, dtype=np.float32) if bias else None,
        text_bias=np.linspace(1, 2, count, dtype=np.float32) if bias else None,
    )  # fmt: skip


def folder(path, *shards, dtype="float32"):
    named = {f"part-{number:05}.parquet": each for number, each in enumerate(shards)}
    for name, each in named.items():
        write_shard(path / name, each, space="abc", dtype=dtype)
    counts = {name: len(each.ids) for name, each in named.items()}
    summary = EmbeddingFolder(
        path=path, space="abc", dimension=4, dtype=dtype, model="first 1", export="first",
        centres={"image": 0.5, "text": 0.25}, shards=counts,
    )  # fmt: skip
    summary.write()
    return summary


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("bias", [True, False])
def test_what_was_written_is_read_in_its_order(tmp_path, dtype, bias):
    written = [rows(6, bias=bias), rows(2, bias=bias)]
    summary = folder(tmp_path, *written, dtype=dtype)
    found = EmbeddingFolder.read(tmp_path)
    assert found == summary
    assert len(found) == 8
    read = list(found.rows())
    assert len(read) == 2
    for before, after in zip(written, read, strict=True):
        for name, column in before._asdict().items():
            expected = column.astype(dtype) if name == "vectors" else column
            np.testing.assert_array_equal(getattr(after, name), expected)
    assert [len(each.ids) for each in found.rows(4)] == [4, 2, 2]


def test_equal_rows_give_equal_bytes_that_other_tools_read(tmp_path):
    for name in ("a.parquet", "b.parquet"):
        write_shard(tmp_path / name, rows(6), space="abc")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[4]"
    assert table.schema.metadata[b"mite_tf.space"] == b"abc"


def test_what_is_no_folder_of_embeddings_is_told(tmp_path):
    def told(because):
        return pytest.raises(MiteError, match=re.escape(because))

    with told("empty folder, no embeddings"):
        EmbeddingFolder.read(tmp_path)
    summary = folder(tmp_path, rows(6))
    (tmp_path / "embeddings.json").rename(tmp_path / "kept")
    with told("not complete. Give the same `mite embed` again"):
        EmbeddingFolder.read(tmp_path)
    (tmp_path / "embeddings.json").write_text("{}")
    with told("it lacks mite_tf_embeddings"):
        EmbeddingFolder.read(tmp_path)
    values = json.loads((tmp_path / "kept").read_text())
    (tmp_path / "embeddings.json").write_text(json.dumps(values | {"shards": {"a": "b"}}))
    with told("embeddings.json: not a summary of embeddings"):
        EmbeddingFolder.read(tmp_path)
    shard = tmp_path / "part-00000.parquet"
    write_shard(shard, rows(6), space="another")
    with told("part-00000.parquet: not a shard of these embeddings: it is of another model"):
        list(summary.rows())
    write_shard(shard, rows(4), space="abc")
    with told("it holds 4 rows, not 6"):
        list(summary.rows())
    odd = rows(6)
    odd.vectors[2, 1] = np.nan
    write_shard(shard, odd, space="abc")
    with told("an embedding is not finite"):
        list(summary.rows())
    shard.write_bytes(b"damaged")
    with told("part-00000.parquet: not a shard of these embeddings"):
        list(summary.rows())
    shard.unlink()
    with told("No such file"):
        list(summary.rows())
