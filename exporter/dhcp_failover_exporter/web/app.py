"""The application: which path leads where."""

from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from dhcp_failover_exporter.engine import Clock, Engine, SystemClock
from dhcp_failover_exporter.web.operation import Operation
from dhcp_failover_exporter.web.own import OwnMetrics
from dhcp_failover_exporter.web.page import Page
from dhcp_failover_exporter.web.protection import NoRequestBodies, SecurityHeaders
from dhcp_failover_exporter.web.reload import Reload
from dhcp_failover_exporter.web.scrape import Scrape

STATIC: Final = Path(__file__).with_name("static")
# For what people look at; the exposition has a faster one of its own.
COMPRESSED: Final = [Middleware(GZipMiddleware, compresslevel=1)]


def create_app(engine: Engine, own: OwnMetrics, reload: Reload, clock: Clock | None = None) -> Starlette:
    """The ASGI application over an engine; starting and stopping the engine is the caller's.

    `clock` is the engine's, the machine's own where none is given.
    """
    clock = clock or SystemClock()
    scrape, operation, page = (
        Scrape(engine, own, clock),
        Operation(engine, reload),
        Page(engine, reload, clock),
    )
    return Starlette(
        routes=[
            Route("/", page.overview, middleware=COMPRESSED),
            Route("/relationship", page.relationship, middleware=COMPRESSED),
            Route("/metrics", scrape.metrics),
            Route("/probe", scrape.probe),
            Route("/config", operation.config),
            Route("/-/healthy", operation.healthy),
            Route("/-/ready", operation.ready),
            Route("/-/reload", operation.reload, methods=["POST"]),
            Route("/api/v1/pairs", page.api_pairs, middleware=COMPRESSED),
            Route("/api/v1/servers", page.api_servers, middleware=COMPRESSED),
            Route("/api/v1/relationships", page.api_relationships, middleware=COMPRESSED),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(NoRequestBodies)],
        exception_handlers={HTTPException: _sentence},
    )


async def _sentence(_request: Request, refusal: Exception) -> Response:
    """One sentence in plain text, for whoever looks at a failed scrape."""
    assert isinstance(refusal, HTTPException)  # noqa: S101 registered for nothing else
    return PlainTextResponse(f"{refusal.detail}\n", refusal.status_code, headers=refusal.headers)
