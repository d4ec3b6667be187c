"""TensorFlow without what it says about the machine."""

from __future__ import annotations

import os
import sys

from mite_tf.extras import from_extra


def load_tensorflow() -> None:
    """Imports TensorFlow without the dozen lines that it prints to standard error.

    They come from below Python and report harmless findings, such as an absent GPU. Errors are
    raised as ever. Set the environment variable `TF_CPP_MIN_LOG_LEVEL` to 0 to see everything.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        with from_extra("tensorflow", "This command"):
            import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)
