"""The client for asyncio, which `EmbeddingClient` runs too."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self

import numpy as np

from mite_tf.extras import from_extra
from mite_tf.serving.client import call
from mite_tf.serving.client.call import Deadline, MixedVersions, Options, deliver
from mite_tf.serving.client.connection import Channel, Connection
from mite_tf.serving.client.local import Local
from mite_tf.serving.client.protocol import (
    EmbeddingError,
    MetadataQuestion,
    MixedVersionsError,
    ModelMetadata,
    StatusQuestion,
    VersionStatus,
)
from mite_tf.serving.client.rows import Row, as_list, feature_rows, image_rows, text_rows

P = ParamSpec("P")
# Whether to show a bar, or what to call with the number of rows done and of all.
Progress = bool | Callable[[int, int], None]


# no example: given where two versions meet
class MixedVersionsWarning(UserWarning):
    """`MixedVersionsError` of a client that was told to warn."""


# no example: those of both clients use it
@dataclass(frozen=True, kw_only=True)
class Settings(Connection, Options):
    """The arguments of both clients: how a server is reached, and how it is asked."""

    def __post_init__(self) -> None:
        Connection.__post_init__(self)
        Options.__post_init__(self)


# no example: for type checkers and `help`
def with_arguments_of(
    other: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Gives a constructor the arguments of another."""
    return lambda constructor: wraps(other, assigned=())(constructor)


class AsyncEmbeddingClient:
    """`EmbeddingClient` for asyncio: the same arguments, rules and errors.

    Use it in an `async with` block. Many calls may wait at a time; files are read and arrays are
    encoded in threads. `token` may also be a coroutine function.

    Example:
        >>> import asyncio
        >>> async def embed():
        ...     nobody = {"timeout": 0.2, "wait_for_ready": False, "retries": 0}
        ...     async with AsyncEmbeddingClient("localhost:1", **nobody) as client:
        ...         return await client.embed_text(["a dog"])
        >>> asyncio.run(embed())
        Traceback (most recent call last):
        mite_tf.serving.client.protocol.EmbeddingError: Model 'text', 1 rows: UNAVAILABLE: ...
    """

    @with_arguments_of(Settings.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = Settings(*args, **kwargs)
        with from_extra("client", "A client of a server"):
            self._start(settings, Channel(settings))

    @classmethod
    def local(
        cls,
        folder: str | Path,
        *,
        kind: str = "onnx",
        threads: int = 0,
        version: int | None = None,
        mixed_versions: MixedVersions = "refuse",
        timeout: float | None = None,
        rows_per_request: int = call.ROWS_PER_REQUEST,
    ) -> Self:
        """Returns a client that computes in this process, as `EmbeddingClient.local` does."""
        options = Options(
            timeout=timeout,
            rows_per_request=rows_per_request,
            max_message_bytes=1 << 40,  # nothing is sent
            in_flight=1,  # one computation takes all cores
            version=version,
            mixed_versions=mixed_versions,
        )
        models = {options.image_model: "image", options.text_model: "text"}
        client = cls.__new__(cls)
        client._start(options, Local(folder, kind=kind, threads=threads, models=models))
        return client

    def _start(self, options: Options, transport: call.Transport) -> None:
        self._options = options
        self._transport = transport
        self._versions: dict[str, int] = {}

    @property
    def versions(self) -> dict[str, int]:
        """Version that last embedded, by name of the model; store it with the embeddings."""
        return dict(self._versions)

    async def embed_text(
        self, texts: Iterable[str], *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds texts, as `EmbeddingClient.embed_text` does."""
        return await self._embed("texts", text_rows, texts, timeout, progress)

    async def embed_images(
        self, images: Iterable[Any], *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds images, as `EmbeddingClient.embed_images` does."""
        return await self._embed("images", image_rows, images, timeout, progress)

    async def embed_features(
        self, features: Any, *, timeout: float | None = None, progress: Progress = False
    ) -> np.ndarray:
        """Embeds precomputed features, as `EmbeddingClient.embed_features` does."""
        return await self._embed("features", feature_rows, features, timeout, progress)

    async def metadata(self, *, timeout: float | None = None) -> dict[str, ModelMetadata]:
        """Returns signatures and version of both models, by their names."""
        return await self._ask_both(self._about, timeout)

    async def status(self, *, timeout: float | None = None) -> dict[str, list[VersionStatus]]:
        """Returns the state of every version of both models, by their names."""
        return await self._ask_both(lambda model: StatusQuestion(model=model), timeout)

    async def close(self) -> None:
        """Closes the connection, or frees the models."""
        self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _embed(
        self,
        name: str,
        rows: Callable[[Sequence[Any]], Iterator[Row]],
        inputs: Iterable[Any],
        timeout: float | None,
        progress: Progress,
    ) -> np.ndarray:
        items, deadline = as_list(inputs, name), self._deadline(timeout)
        model = self._options.text_model if name == "texts" else self._options.image_model
        if not items:
            return await self._nothing(model, deadline)
        with _shown(progress, name) as report:
            result = await call.EmbedCall(
                model=model,
                rows=partial(rows, items),
                count=len(items),
                deadline=deadline,
                transport=self._transport,
                options=self._options,
                slow=name == "images" and not all(isinstance(each, bytes) for each in items),
                report=report,
            ).run()
        self._record(model, result.version)
        return result.values

    async def _nothing(self, model: str, deadline: Deadline) -> np.ndarray:
        described: ModelMetadata = await self._deliver(self._about(model), deadline)
        for signature in described.signatures.values():
            output = signature.outputs.get("embedding")
            if output and output.shape and output.shape[-1] > 0:
                return np.empty((0, output.shape[-1]), np.float32)
        raise EmbeddingError(
            f"Model {model!r}: its metadata give no size of an output `embedding`. "
            "Was it exported by `mite export`?"
        )

    async def _ask_both(
        self, question: Callable[[str], StatusQuestion], timeout: float | None
    ) -> dict[str, Any]:
        deadline = self._deadline(timeout)
        models = (self._options.image_model, self._options.text_model)
        return {model: await self._deliver(question(model), deadline) for model in models}

    async def _deliver(self, question: StatusQuestion, deadline: Deadline) -> Any:
        return await deliver(question, deadline, self._transport, self._options)

    def _record(self, model: str, version: int | None) -> None:
        """Notes which version answered a whole call, and refuses two that must not be compared.

        An export gives both models the same number. The note is made in any case, so that
        embedding again with the other model settles it.
        """
        if version is None:
            return
        changed = self._versions.get(model) != version
        self._versions = {**self._versions, model: version}
        others = {name: each for name, each in self._versions.items() if each != version}
        if not others or self._options.mixed_versions == "allow":
            return
        [(other, before)] = others.items()
        message = (
            f"Model {model!r} answered as version {version}, but the last answer of {other!r} was "
            f"of version {before}: their embeddings lie in different spaces and must not be "
            f"compared. Embed again with {other!r}, or ask for one version of both with version=. "
            "If these numbers do belong together, give mixed_versions='allow'."
        )
        if self._options.mixed_versions == "refuse":
            raise MixedVersionsError(message, code="FAILED_PRECONDITION")
        if changed:
            warnings.warn(message, MixedVersionsWarning, stacklevel=2)

    def _about(self, model: str) -> MetadataQuestion:
        options = self._options
        return MetadataQuestion(model=model, version=options.version, label=options.version_label)

    def _deadline(self, timeout: float | None) -> Deadline:
        call.check_seconds("timeout", timeout)
        return Deadline(self._options.timeout if timeout is None else timeout)


def _shown(progress: Progress, unit: str) -> AbstractContextManager[Any]:
    if callable(progress):
        return nullcontext(progress)
    if not progress:
        return nullcontext()
    from mite_tf.progress import progress as bar

    return bar("Embedding", unit)
