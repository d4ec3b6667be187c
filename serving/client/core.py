"""What both clients are made of: options, versions, and a flow for each thing they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mite_tf.errors import MiteError
from mite_tf.extras import from_extra
from mite_tf.serving.client.check import check, read_expected
from mite_tf.serving.client.deadline import Deadline
from mite_tf.serving.client.effects import Flow
from mite_tf.serving.client.embed import Job, embed
from mite_tf.serving.client.images import image_rows
from mite_tf.serving.client.local import Local
from mite_tf.serving.client.options import MixedVersions, Options, check_seconds
from mite_tf.serving.client.questions import Metadata, Question, Status, Version
from mite_tf.serving.client.replies import ModelMetadata, VersionStatus
from mite_tf.serving.client.retry import deliver
from mite_tf.serving.client.rows import Row, as_list, feature_rows, text_rows
from mite_tf.serving.client.tls import ClientTLS
from mite_tf.serving.client.versions import Versions

if TYPE_CHECKING:
    from mite_tf.export.manifest import Manifest
    from mite_tf.serving.client.connection import Connection, Token

# Whether to show a bar, or what to call with the number of rows done and of all.
Progress = bool | Callable[[int, int], None]


class Core:
    """Options and flows; `EmbeddingClient` and `AsyncEmbeddingClient` run them."""

    def __init__(self, options: Options, explain: Callable[[str], str | None]) -> None:
        self.options = options
        self.versions = Versions(options.mixed_versions)
        self._deliver = partial(deliver, options=options, explain=explain)
        self._models = {"image": options.image_model, "text": options.text_model}

    def embed_text(self, texts: Any, timeout: float | None, progress: Progress) -> Flow[np.ndarray]:
        texts = as_list(texts, "texts")
        return self._embed("text", texts, text_rows, timeout, progress)

    def embed_images(
        self, images: Any, timeout: float | None, progress: Progress
    ) -> Flow[np.ndarray]:
        if isinstance(images, np.ndarray) and images.ndim == 3:
            raise MiteError("images is a single array of rank 3; put it into a list.")
        images = as_list(images, "images")
        return self._embed("image", images, image_rows, timeout, progress)

    def embed_features(
        self, features: Any, timeout: float | None, progress: Progress
    ) -> Flow[np.ndarray]:
        features = as_list(features, "features")
        return self._embed("image", features, feature_rows, timeout, progress)

    def _embed(
        self,
        kind: str,
        items: list[Any],
        rows: Callable[[Sequence[Any]], Iterator[Row]],
        timeout: float | None,
        progress: Progress,
    ) -> Flow[np.ndarray]:
        check_seconds("timeout", timeout)
        model = self._models[kind]
        with _shown(progress, kind) as report:
            job = Job(
                model=model,
                rows=partial(rows, items),
                count=len(items),
                slow=kind == "image",
                timeout=self._patience(timeout),
                on_progress=report,
            )
            result = yield from embed(job, self._deliver, self.options)
        self.versions.record(model, result.version)
        return result.values

    def metadata(self, timeout: float | None) -> Flow[dict[str, ModelMetadata]]:
        return self._ask_both(partial(Metadata, version=self.options.version), timeout)

    def status(self, timeout: float | None) -> Flow[dict[str, list[VersionStatus]]]:
        return self._ask_both(Status, timeout)

    def _ask_both(self, question: Callable[..., Question], timeout: float | None) -> Flow[Any]:
        check_seconds("timeout", timeout)
        deadline = Deadline(self._patience(timeout))
        replies = {}
        for model in self._models.values():
            replies[model] = yield from self._deliver(question(model=model), deadline)
        return replies

    def check(
        self, export: Manifest | str | Path, tolerance: float, timeout: float | None
    ) -> Flow[None]:
        manifest, golden = read_expected(export)
        deadline = Deadline(self._patience(timeout))
        version = self.options.version
        return check(
            manifest,
            golden,
            models=self._models,
            describe=lambda model: self._deliver(Metadata(model=model, version=version), deadline),
            embed={
                kind: partial(flow, timeout=timeout, progress=False)
                for kind, flow in (
                    ("text", self.embed_text),
                    ("image", self.embed_images),
                    ("features", self.embed_features),
                )
            },
            tolerance=tolerance,
        )

    def _patience(self, timeout: float | None) -> float | None:
        return self.options.timeout if timeout is None else timeout


def _shown(progress: Progress, kind: str) -> AbstractContextManager[Any]:
    if callable(progress):
        return nullcontext(progress)
    if not progress:
        return nullcontext()
    from mite_tf.progress import progress as bar

    return bar("Embedding", {"image": "images", "text": "sentences"}[kind])


def connection(
    target: str,
    *,
    tls: ClientTLS | None,
    token: Token | None,
    token_in_clear: bool,
    keepalive: float,
    channel_options: Sequence[tuple[str, Any]],
) -> Connection:
    """Returns how to reach a server.

    Raises:
        MiteError: If gRPC is not installed, or the arguments make no sense.
    """
    with from_extra("client", "A client of a server"):
        from mite_tf.serving.client import exchange  # noqa: F401
        from mite_tf.serving.client.connection import Connection
    check_seconds("keepalive", keepalive)
    return Connection(
        target=target,
        tls=tls,
        token=token,
        token_in_clear=token_in_clear,
        keepalive=keepalive,
        channel_options=channel_options,
    )


def local_options(
    *,
    version: int | None,
    timeout: float | None,
    rows_per_request: int,
    mixed_versions: MixedVersions,
) -> Options:
    """Returns the options of a client that computes in this process."""
    return Options(
        timeout=timeout,
        rows_per_request=rows_per_request,
        max_message_bytes=1 << 40,  # nothing is sent
        in_flight=1,  # one computation takes all cores
        version=Version(number=version),
        mixed_versions=mixed_versions,
    )


def open_local(folder: str | Path, options: Options, *, kind: str, threads: int) -> Local:
    """Opens an export folder."""
    models = {options.image_model: "image", options.text_model: "text"}
    return Local(folder, kind=kind, threads=threads, models=models)
