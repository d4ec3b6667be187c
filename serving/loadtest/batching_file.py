"""Batching parameters as the file that TensorFlow Serving and `mite serve` read."""

from __future__ import annotations

from pathlib import Path

from mite_tf.files import write_text
from mite_tf.serving.client.options import ROWS_PER_REQUEST
from mite_tf.serving.server.batching import Batching

_NAMES = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


def batching_text(batching: Batching) -> str:
    """Returns the text of the file, with powers of two as allowed batch sizes.

    Args:
        batching: The parameters.

    Example:
        >>> small = Batching(max_batch_size=3, num_batch_threads=2, max_enqueued_batches=5)
        >>> print(batching_text(small), end="")
        max_batch_size { value: 3 }
        batch_timeout_micros { value: 0 }
        max_enqueued_batches { value: 5 }
        num_batch_threads { value: 2 }
        allowed_batch_sizes: 1
        allowed_batch_sizes: 2
        allowed_batch_sizes: 3
    """
    lines = [f"{name} {{ value: {getattr(batching, name)} }}" for name in _NAMES]
    powers = (2**n for n in range(batching.max_batch_size.bit_length()))
    smaller = [size for size in powers if size < batching.max_batch_size]
    # TensorFlow Serving wants them increasing, the last one equal to the largest batch.
    lines += [f"allowed_batch_sizes: {size}" for size in (*smaller, batching.max_batch_size)]
    return "\n".join(lines) + "\n"


def write_batching(path: str | Path, batching: Batching) -> None:
    """Writes the file.

    Args:
        path: Where to.
        batching: The parameters.
    """
    head = "# For --enable_batching --batching_parameters_file.\n"
    if remark := small_batch_remark(batching):
        head += f"# {remark}\n"
    write_text(path, head + batching_text(batching))


def small_batch_remark(batching: Batching) -> str:
    """Returns what clients must mind if requests of their usual size would be refused.

    Example:
        >>> small_batch_remark(Batching(max_batch_size=8))
        'Requests of more than 8 rows are refused: EmbeddingClient takes rows_per_request=8.'
    """
    most = batching.max_batch_size
    if most >= ROWS_PER_REQUEST:
        return ""
    return (
        f"Requests of more than {most} rows are refused: EmbeddingClient takes "
        f"rows_per_request={most}."
    )
