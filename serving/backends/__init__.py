"""What computes embeddings from an export folder: ONNX Runtime, or TensorFlow's SavedModels."""

from mite_tf.serving.backends.backend import Backend, Rows, SignatureSpec
from mite_tf.serving.backends.open import choose_kind, open_backend

__all__ = ["Backend", "Rows", "SignatureSpec", "choose_kind", "open_backend"]
