"""Small collections of random embeddings, and what an exact search finds in them."""

import numpy as np

from mite_tf.retrieval.embedding_files import EmbeddedRows, EmbeddingFolder, write_shard

CENTRES = {"image": 0.25, "text": 0.3}


def make_rows(count, *, dimension=16, seed=0, first=0, bias=True, fused=False):
    """Pictures and texts in turn, around a few directions, as embeddings lie."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(7).normal(size=(20, dimension))
    vectors = directions[random.integers(20, size=count)]
    vectors = vectors + 0.7 * random.normal(size=(count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    kinds = ["image", "text", "fused"][: 2 + fused]
    modalities = [kinds[at % len(kinds)] for at in range(count)]
    ids = [f"{first + at}" for at in range(count)]
    biases = random.normal(0.275, 0.05, (2, count)).astype(np.float32) if bias else (None, None)
    return EmbeddedRows(
        ids,
        modalities,
        [None if kind == "text" else f"{name}.jpg" for name, kind in zip(ids, modalities)],  # noqa: B905
        [None if kind == "image" else f"text {name}" for name, kind in zip(ids, modalities)],  # noqa: B905
        vectors.astype(np.float32),
        *biases,
    )


def make_folder(path, *shards, space="abc", dtype="float32", centres=CENTRES):
    """Writes rows as `mite embed` does."""
    path.mkdir()
    counts = {}
    for number, rows in enumerate(shards):
        name = f"part-{number:05}.parquet"
        write_shard(path / name, rows, space=space, dtype=dtype)
        counts[name] = len(rows.ids)
    folder = EmbeddingFolder(
        path=path, space=space, dimension=shards[0].vectors.shape[1], dtype=dtype,
        model="first 1", centres=None if shards[0].image_bias is None else centres, shards=counts,
    )  # fmt: skip
    folder.write()
    return folder


def best(rows, query, *, by=None, k=10, modality="both", centres=CENTRES):
    """The ids of the best rows with score and cosine; `by` of None is plain cosine."""
    cosines = rows.vectors.astype(np.float64) @ query
    scores = cosines
    if by is not None:
        bias = rows.image_bias if by == "image" else rows.text_bias
        scores = cosines - (bias - centres[by])
    fits = {"image": ("image", "fused"), "text": ("text",), "both": ("image", "text", "fused")}
    order = [
        row for row in np.argsort(-scores, kind="stable") if rows.modalities[row] in fits[modality]
    ]
    return [(rows.ids[row], scores[row], cosines[row]) for row in order[:k]]
