"""TensorFlow Serving's batching parameters."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format

from mite_tf.errors import MiteError
from mite_tf.serving.wire.messages import BatchingParameters


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How requests that wait are put into one call.

    The names are those of TensorFlow Serving's file, and so are the defaults, but for the
    timeout, which is 0 here: requests gather while the model is busy, none waits for company.

    Attributes:
        max_batch_size: Most rows of one request; most rows of one call, but for the last field.
        batch_timeout_micros: Microseconds that a call may wait to become full.
        num_batch_threads: Calls at the same time.
        max_enqueued_batches: Full batches that may wait; what comes beyond is refused at once.
        max_execution_batch_size: Most rows of one call, where larger requests are split.
        gather: Whether requests share calls at all.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    num_batch_threads: int = os.cpu_count() or 1
    max_enqueued_batches: int = 10
    max_execution_batch_size: int = 0
    gather: bool = True

    @property
    def rows_of_a_call(self) -> int:
        """Most rows of one call."""
        return self.max_execution_batch_size or self.max_batch_size

    @property
    def capacity(self) -> int:
        """Most rows that may be under way."""
        running = self.num_batch_threads * self.rows_of_a_call
        return self.max_enqueued_batches * self.max_batch_size + running


def read_batching(path: str | Path) -> Batching:
    """Reads a file for TensorFlow Serving's `--batching_parameters_file`.

    `allowed_batch_sizes` are checked but nothing is padded: no backend here compiles for a
    shape, so that padding would only add rows. `pad_variable_length_inputs` is refused, because
    TensorFlow Serving pads with the first element, which no tokenizer means.

    Args:
        path: The file.

    Raises:
        MiteError: If it cannot be read, or TensorFlow Serving would refuse it.
    """
    path = Path(path)
    message = BatchingParameters()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise MiteError(f"{path}: not a batching parameters file: {error}") from error
    values = {
        name: getattr(message, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "num_batch_threads",
            "max_enqueued_batches",
            "max_execution_batch_size",
        )
        if message.HasField(name)
    }
    if message.pad_variable_length_inputs:
        raise MiteError(
            f"{path}: pad_variable_length_inputs is not supported: send strings, or token ids of "
            "one length."
        )
    if not message.enable_large_batch_splitting.value:
        values.pop("max_execution_batch_size", None)
    for name, value in values.items():
        if value < (name in ("max_batch_size", "num_batch_threads", "max_enqueued_batches")):
            raise MiteError(f"{path}: {name} is {value}; it must be positive.")
    batching = Batching(**values)
    _check_allowed(list(message.allowed_batch_sizes), batching, path)
    return batching


def _check_allowed(sizes: list[int], batching: Batching, path: Path) -> None:
    """As servables/tensorflow/bundle_factory_util.cc and batching/batching_session.cc do."""
    if not sizes:
        return
    if sizes != sorted(set(sizes)) or sizes[-1] != batching.max_batch_size:
        raise MiteError(
            f"{path}: allowed_batch_sizes are {sizes}; they must increase, and the last must be "
            f"{batching.max_batch_size}, as max_batch_size."
        )
    if sizes[-1] != batching.rows_of_a_call:
        raise MiteError(
            f"{path}: max_execution_batch_size is {batching.rows_of_a_call}, but the last of "
            f"allowed_batch_sizes, as max_batch_size, is {sizes[-1]}. TensorFlow Serving wants "
            "them equal: leave out allowed_batch_sizes to split large requests."
        )
