"""The extras of the package: what each is for, what it brings, how it is installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from mite_tf.errors import MiteError

# Each extra with the modules that it brings; pyproject.toml lists the packages that hold them.
EXTRAS: dict[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard",),  # reads the logs that a run writes
    "notebooks": ("ipykernel",),
    "umap": ("umap",),  # a second way to draw both modalities
    "client": ("grpc", "google.protobuf"),  # asks a server, without TensorFlow
    "serving": (  # the local server, load tests, the warm-up requests of an export
        "grpc",
        "google.protobuf",
        "grpc_health",
        "grpc_reflection",
        "prometheus_client",
        "starlette",
        "tensorflow_serving",
        "uvicorn",
    ),
    "onnx": ("onnx", "onnxruntime", "tf2onnx", "tokenizers"),
    "litert": ("ai_edge_litert",),
    "openvino": ("openvino",),
}


def missing(names: Iterable[str]) -> list[str]:
    """Returns the modules that are not installed.

    Args:
        names: Import names.

    Example:
        >>> missing(["numpy", "tokenizers_of_the_moon"])
        ['tokenizers_of_the_moon']
    """
    return [name for name in names if find_spec(name) is None]


def install_hint(extra: str) -> str:
    """Returns the command that installs an extra.

    Example:
        >>> install_hint("onnx")
        "pip install 'mite-tf[onnx]'"
    """
    if extra not in EXTRAS:
        raise ValueError(f"Unknown extra {extra!r}; there are {', '.join(EXTRAS)}.")
    return f"pip install 'mite-tf[{extra}]'"


@contextmanager
def from_extra(extra: str, what: str) -> Iterator[None]:
    """Says how to install a package that an import in the block does not find.

    Args:
        extra: The extra that brings it.
        what: What needs it, to begin the message with.

    Raises:
        MiteError: If a package is not installed.

    Example:
        >>> with from_extra("umap", "The projection 'umap'"):
        ...     import umap_of_the_moon
        Traceback (most recent call last):
        mite_tf.errors.MiteError: The projection 'umap' needs umap_of_the_moon, ...
        Install with: pip install 'mite-tf[umap]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mite_tf"):
            raise
        raise MiteError(
            f"{what} needs {error.name}, which is not installed. "
            f"Install with: {install_hint(extra)}"
        ) from error
