"""A page that answers: in the foreground, or in a thread."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fastapi
import gradio as gr
import uvicorn
from starlette.datastructures import MutableHeaders

from mite_tf.collection.index_embeddings import index_embeddings
from mite_tf.collection.query import QueryEncoder
from mite_tf.errors import MiteError, printable
from mite_tf.export.manifest import Manifest, read_version
from mite_tf.page.app import CSS, build_page
from mite_tf.page.searches import Searches
from mite_tf.progress import say
from mite_tf.retrieval.collection_index import CollectionIndex, open_index
from mite_tf.retrieval.embedding_files import SUMMARY

_CARD = "MODEL_CARD.md"
# The page's own scripts stand in it; a browser loads nothing from elsewhere.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'"
)
_FONTS = ["system-ui", "sans-serif"]
_MONO = ["ui-monospace", "monospace"]
# Of a picture that is dropped: as much as a request of `mite serve` may have.
_MOST_BYTES = 64 << 20
_SECONDS = 1  # that requests may take when the page ends


def show_page(
    index: str | Path,
    *,
    export: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
) -> None:
    """Shows the search page of an index until Ctrl-C or SIGTERM; prints its address.

    Args:
        index: Index of a collection, made by `mite index`; or embeddings, made by `mite embed`,
            which are then indexed for the time of the page.
        export: Export that embeds what is typed and dropped; that which the index names by default.
        host: Address to listen on.
        port: Port; 0 for any that is free.

    Raises:
        MissingPackage: If Gradio is not installed.
        MiteError: If the index or the export cannot be used, or the port is taken.
    """
    with start_page(index, export=export, host=host, port=port) as page:
        print(f"The page is at {page.url} until Ctrl-C.", flush=True)
        with suppress(KeyboardInterrupt):
            page.wait()


def start_page(
    index: str | Path,
    *,
    export: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> RunningPage:
    """Shows the search page of an index from a thread, for notebooks and tests.

    Arguments and errors are those of `show_page`, but that any free port is taken by default.

    Example:
        >>> start_page("nowhere")
        Traceback (most recent call last):
        mite_tf.errors.MiteError: nowhere: ...
    """
    held = ExitStack()
    try:
        listener = held.enter_context(_listener(host, port))
        is_index = not (Path(index) / SUMMARY).is_file()
        opened = open_index(index) if is_index else _indexed(index, export, held)
        if not len(opened):
            add = "Add some with `mite index INDEX --add EMBEDDINGS`."
            raise MiteError(f"{index}: holds no row to show. {add}")
        encoder = held.enter_context(QueryEncoder.of(opened, export))
        page = build_page(Searches(opened, encoder), about(index, len(opened), encoder.name))
        return RunningPage(page, listener, held)
    except BaseException:
        held.close()
        raise


class RunningPage:
    """A page in a thread of this process, with its `url`; a context manager."""

    def __init__(self, page: gr.Blocks, listener: socket.socket, held: ExitStack) -> None:
        self._held = held
        host, self.port = listener.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        app = gr.mount_gradio_app(
            fastapi.FastAPI(openapi_url=None),
            page,
            path="/",
            server_name=host,
            server_port=self.port,
            footer_links=[],
            run_history=False,
            max_file_size=_MOST_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
            theme=gr.themes.Default(font=_FONTS, font_mono=_MONO),
            css=CSS,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                _NothingFromElsewhere(app),
                log_level="warning",
                ws="none",
                timeout_graceful_shutdown=_SECONDS,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="mite-page", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.01)

    def wait(self) -> None:
        """Returns when the page has ended."""
        while self._thread.is_alive():
            self._thread.join(1)

    def stop(self) -> None:
        """Ends the page; does nothing the second time."""
        self._server.should_exit = True
        self._thread.join()
        self._held.close()

    def __enter__(self) -> RunningPage:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _NothingFromElsewhere:
    """Tells browsers with every answer to load nothing from elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["content-security-policy"] = _POLICY
            await send(message)

        await self._app(scope, receive, send_with_policy)


def about(index: str | Path, count: int, export: str | Path) -> str:
    """Returns what the last tab says in Markdown: the index, the model card, its evaluation."""
    version = read_version(export)
    manifest = version.manifest
    of_index = f"**Index.** `{printable(index)}` holds {count:,} pictures and texts."
    card = _CARD in manifest.files
    of_model = version.read(_CARD).decode("utf-8", "replace") if card else _facts(manifest)
    return f"{of_index}\n\n{of_model}"


def _facts(manifest: Manifest) -> str:
    scores = [f"| {name} | {value:.3f} |" for name, value in manifest.metrics.items()]
    table = ["", "| measured on the dev split | |", "| --- | --- |", *scores] if scores else []
    title = f"# {printable(manifest.name)}, version {manifest.version}"
    made = f"Embeddings of {manifest.embedding_size} numbers; exported {manifest.created[:10]}."
    return "\n".join([title, "", made, *table])


def _indexed(embeddings: str | Path, export: str | Path | None, held: ExitStack) -> CollectionIndex:
    """Indexes embeddings for the time of the page."""
    say("Indexing for this page alone; `mite index` keeps an index.")
    folder = held.enter_context(TemporaryDirectory(prefix="mite-"))
    return index_embeddings(embeddings, Path(folder) / "index", export=export)


def _listener(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise MiteError(f"port (--port) is {port}; it must be 0 to 65535.")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # `create_server` adds where it was to what the system says.
        reason = (error.strerror or str(error)).split(" (while")[0]
        raise MiteError(
            f"Port {port} of {host} cannot be had: {reason}. Name another port=... (--port ...), "
            "or 0 for any that is free."
        ) from error
