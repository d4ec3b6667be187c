"""The extras of the package: what each is for, what it brings, how it is installed."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mite_tf.errors import MiteError

# Each extra with the modules that it brings; pyproject.toml lists the packages that hold them.
EXTRAS: dict[str, tuple[str, ...]] = {
    "tensorflow": (  # trains, evaluates, searches, exports
        "tensorflow",
        "tensorflow_text",
        "keras",
        "jinja2",
        "matplotlib",
        "sklearn",
        "tensorboard",
        "tensorflow_serving",
        "tokenizers",
        "tomli_w",
    ),
    "notebooks": ("ipykernel",),
    "hub": ("keras_hub", "safetensors"),  # pretrained networks
    "umap": ("umap",),  # a second way to draw both modalities
    "client": ("grpc", "google.protobuf"),  # asks a server
    "serving": (  # the local server, load tests
        "grpc",
        "google.protobuf",
        "grpc_health",
        "grpc_reflection",
        "matplotlib",
        "prometheus_client",
        "starlette",
        "uvicorn",
    ),
    "onnx": ("onnx", "onnxruntime", "tf2onnx", "tokenizers"),
    "search": ("faiss", "fsspec", "pyarrow", "onnxruntime", "tokenizers"),  # collections
    "s3": ("s3fs",),  # pictures behind s3://
    "gcs": ("gcsfs",),  # pictures behind gs://
    "milvus": ("pymilvus", "milvus_lite"),
    "page": ("gradio",),  # the search page
    "ray": ("ray",),  # embeds on several machines
    "litert": ("ai_edge_litert",),
    "openvino": ("openvino",),
}


class MissingPackage(MiteError, ImportError):
    """A package of an extra is not installed; the message holds the command that installs it."""


def missing(names: Iterable[str]) -> list[str]:
    """Returns the modules that are not installed.

    Args:
        names: Import names.

    Example:
        >>> missing(["numpy", "tokenizers_of_the_moon"])
        ['tokenizers_of_the_moon']
    """
    return [name for name in names if find_spec(name) is None]


def require(what: str, extra: str, modules: Iterable[str] = ()) -> None:
    """Refuses to go on without modules of an extra.

    Args:
        what: What needs them, to begin the message with.
        extra: The extra that brings them.
        modules: Import names; all of the extra by default.

    Raises:
        MissingPackage: If one is not installed.

    Example:
        >>> require("A dream", "umap", ["umap_of_the_moon"])
        Traceback (most recent call last):
        mite_tf.extras.MissingPackage: A dream needs umap_of_the_moon, which is not installed. ...
    """
    absent = missing(modules or EXTRAS[extra])
    if absent:
        raise _missing_package(what, extra, absent)


@contextmanager
def from_extra(extra: str, what: str) -> Iterator[None]:
    """Says how to install a package that an import in the block does not find.

    Args:
        extra: The extra that brings it.
        what: What needs it, to begin the message with.

    Raises:
        MissingPackage: If a package is not installed.

    Example:
        >>> with from_extra("umap", "The projection 'umap'"):
        ...     import umap_of_the_moon
        Traceback (most recent call last):
        mite_tf.extras.MissingPackage: The projection 'umap' needs umap_of_the_moon, ...
        Install with: ... -m pip install ...[umap]...
    """
    try:
        yield
    except (ModuleNotFoundError, MissingPackage) as error:
        name = str(error.name).partition(".")[0]
        listed = [each for each in EXTRAS[extra] if each.partition(".")[0] == name]
        # What was asked for needs an extra of its own, if a smaller one was named inside.
        if name == "mite_tf" or (isinstance(error, MissingPackage) and not listed):
            raise
        raise _missing_package(what, extra, listed or [name]) from error


def install_hint(extra: str) -> str:
    """Returns the command that installs an extra, from where this package was installed from.

    Example:
        >>> print(install_hint("onnx"))
        /...python... -m pip install ...[onnx]...
    """
    if extra not in EXTRAS:
        raise ValueError(f"Unknown extra {extra!r}; there are {', '.join(EXTRAS)}.")
    return f"{shlex.quote(sys.executable)} -m pip install {_requirement(extra)}"


def _requirement(extra: str) -> str:
    # What an installer notes of a package that is from no index (PEP 610). A checkout that is the
    # working directory counts as a distribution too, one without a note.
    notes = [each.read_text("direct_url.json") for each in distributions(name="mite-tf")]
    noted = json.loads(next(filter(None, notes), "{}"))
    url, version = noted.get("url", ""), noted.get("vcs_info")
    if version:
        url = f"{version['vcs']}+{url}@{version['commit_id']}"
    if url.startswith("file:"):
        editable = "-e " if noted.get("dir_info", {}).get("editable") else ""
        return editable + shlex.quote(f"{url2pathname(urlsplit(url).path)}[{extra}]")
    return shlex.quote(f"mite-tf[{extra}] @ {url}" if url else f"mite-tf[{extra}]")


def _missing_package(what: str, extra: str, modules: Iterable[str]) -> MissingPackage:
    names = list(modules)
    error = MissingPackage(
        f"{what} needs {', '.join(names)}, which is not installed. "
        f"Install with: {install_hint(extra)}"
    )
    error.name = names[0]
    return error
