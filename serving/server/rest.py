"""TensorFlow Serving's REST forms."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mite_tf.serving.server.metrics import Metrics
from mite_tf.serving.server.models import Models
from mite_tf.serving.server.options import ServerOptions

METRICS = "/monitoring/prometheus/metrics"


def application(options: ServerOptions, models: Models, metrics: Metrics) -> Starlette:
    """Returns the application."""

    async def show_metrics(request: Request) -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route(METRICS, show_metrics)])
