"""Both models of an export folder: the version that is served, and the next one."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from grpc import StatusCode

from mite_tf.errors import MiteError
from mite_tf.export.manifest import CURRENT, MANIFEST, VERSIONS, read_manifest
from mite_tf.serving.backends import choose_kind, open_backend
from mite_tf.serving.backends.backend import MODELS, Backend
from mite_tf.serving.server.lanes import Lanes
from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.model_version import ModelVersion, warm
from mite_tf.serving.server.options import ServerOptions
from mite_tf.serving.server.outcomes import Refusal, invalid

# Numbers of ModelVersionStatus.State in apis/get_model_status.proto.
_LOADING, _AVAILABLE, _UNLOADING, _END = 20, 30, 40, 50
# Versions whose end is still reported.
_REMEMBERED = 10
_log = logging.getLogger("mite_tf.serving")


class _State(NamedTuple):
    number: int
    error: str = ""  # why the version ended early


# no example: it lives on the event loop of a server; see `start_server`.
class Models:
    """Loads what the export folder holds, and follows it; lives on the event loop.

    Both models of a new export take traffic in the same moment, so that a client that embeds
    images and texts meets two versions only across that moment. `renewed` is called when a new
    export has replaced one, which is freed by then.
    """

    def __init__(
        self, options: ServerOptions, *, metrics: Metrics, renewed: Callable[[], None]
    ) -> None:
        self._options = options
        self._export = Path(options.export)
        auto = options.backend == "auto"
        self._kind = choose_kind(self._export) if auto else options.backend
        self._batching = options.choose_batching()
        self._metrics = metrics
        self._renewed = renewed
        # Each model has its own, so that a slow one does not hold up the other.
        self._threads = {
            name: ThreadPoolExecutor(self._batching.num_batch_threads, f"mite-{name}")
            for name in MODELS
        }
        self.lanes = Lanes()
        self._loader = ThreadPoolExecutor(1, "mite-load")
        self._served: dict[str, ModelVersion] = {}
        self._states: dict[str, dict[int, _State]] = {name: {} for name in MODELS}
        self._tried: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Loads the export; returns when both models are served."""
        self._tried = _look(self._export)
        await self._switch(await self._in_loader(self._load))
        self._keep(self._follow())

    async def stop(self) -> None:
        """Frees everything; no request may be under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for version in self._served.values():
            await version.drained()
        self.lanes.close()
        for pool in (*self._threads.values(), self._loader):
            pool.shutdown(wait=False, cancel_futures=True)

    def find(self, spec: Any) -> ModelVersion:
        """Returns the version that a `ModelSpec` asks for."""
        # Worded as in core/basic_manager.cc, model_servers/server_core.cc and core/manager.h of
        # TensorFlow Serving.
        name = spec.name
        if not name:
            raise invalid(f"ModelSpec has no name specified. Name {' or '.join(MODELS)}.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise invalid(
                f"Unrecognized servable version label: {spec.version_label}. This server knows no "
                "labels; name a version, or none for the newest."
            )
        version = self._served.get(name)
        if version is not None and (not choice or spec.version.value == version.number):
            return version
        asked = f"Specific({name}, {spec.version.value})" if choice else f"Latest({name})"
        there_is = (
            f"This server has version {version.number}." if version
            else f"The models are {' and '.join(MODELS)}."
        )  # fmt: skip
        raise Refusal(StatusCode.NOT_FOUND, f"Servable not found for request: {asked}. {there_is}")

    def states(self, name: str) -> dict[int, _State]:
        """Returns the states of all known versions of a model, the newest first."""
        return dict(sorted(self._states.get(name, {}).items(), reverse=True))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_loader(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._loader, function, *arguments)

    async def _follow(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(self._options.poll_seconds)
            try:
                seen = await self._in_loader(_look, self._export)
                if seen == self._tried:
                    continue
                self._tried = seen
                await self._renew()
                told = ""
            except Exception as error:
                # A folder that is being copied changes often, and is refused as often.
                if _reason(error) != told:
                    told = _reason(error)
                    _log.error("version refused", extra={"error": told})

    async def _renew(self) -> None:
        number = (await self._in_loader(read_manifest, self._export)).version
        if all(version.number == number for version in self._served.values()):
            return
        for name in MODELS:
            self._set_state(name, number, _State(_LOADING))
        try:
            loaded = await self._in_loader(self._load)
        except Exception as error:
            for name in MODELS:
                self._set_state(name, number, _State(_END, _reason(error)))
            raise
        await self._switch(loaded)

    def _load(self) -> list[tuple[Backend, int]]:
        """Opens and warms both models; gives them with the rows of a light call."""
        while True:
            loaded = []
            for name in MODELS:
                backend = open_backend(
                    self._export, name, self._kind, max_image_pixels=self._options.max_image_pixels
                )
                loaded.append((backend, warm(backend, self._export, self._batching.rows_of_a_call)))
            if len({backend.version for backend, _ in loaded}) == 1:
                return loaded  # else the export was renewed between the two

    async def _switch(self, loaded: list[tuple[Backend, int]]) -> None:
        old = list(self._served.values())
        for backend, light_rows in loaded:
            self._served[backend.name] = ModelVersion(
                backend,
                light_rows=light_rows,
                batching=self._batching,
                lanes=self.lanes,
                threads=self._threads[backend.name],
                metrics=self._metrics,
            )
            self._set_state(backend.name, backend.version, _State(_AVAILABLE))
            _log.info(
                "version available", extra={"model": backend.name, "version": backend.version}
            )
        for version in old:
            self._set_state(version.name, version.number, _State(_UNLOADING))
        if old:
            self._keep(self._replace(old))

    async def _replace(self, old: list[ModelVersion]) -> None:
        await asyncio.gather(*map(self._unload, old))
        old.clear()
        # In the thread that freed them: until it takes something else, it holds what it did last.
        await self._in_loader(self._renewed)

    async def _unload(self, version: ModelVersion) -> None:
        await version.drained()
        await self._in_loader(version.backend.close)
        self._set_state(version.name, version.number, _State(_END))
        _log.info("version unloaded", extra={"model": version.name, "version": version.number})

    def _set_state(self, name: str, number: int, state: _State) -> None:
        states = self._states[name]
        states[number] = state
        self._metrics.version.labels(name, number).set(state.number)
        ended = [each for each, known in states.items() if known.number == _END]
        for each in sorted(ended)[:-_REMEMBERED]:
            del states[each]
            self._metrics.version.remove(name, each)


def _reason(error: Exception) -> str:
    """What went wrong; never nothing, which some exceptions say."""
    if isinstance(error, MiteError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _look(export: Path) -> Any:
    """Something that changes when any file of the export does, so that it is to be tried again."""
    root = Path(os.path.realpath(export / MANIFEST)).parent
    found = []
    for place in {export.resolve(), root}:
        for parent, folders, files in os.walk(place):
            beside = (VERSIONS, CURRENT) if Path(parent) == place else ()
            # Hidden is an export in the making.
            folders[:] = [name for name in folders if name not in beside and name[0] != "."]
            for path in (Path(parent, name) for name in files):
                with suppress(OSError):
                    stat = path.stat()
                    found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return sorted(found)
