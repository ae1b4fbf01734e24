"""What operators and orchestrators ask for: `/-/healthy`, `/-/ready`, `/-/reload`, `/config`."""

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from dhcp_failover_exporter import config
from dhcp_failover_exporter.engine import Engine
from dhcp_failover_exporter.errors import ConfigurationError
from dhcp_failover_exporter.web.reload import Reload

# A page elsewhere could make a browser in the network send the POST; the browser says so (Fetch Metadata).
_OWN_SITE: Final = ("same-origin", "none")


class Operation:
    """The endpoints, over the engine and the way to reload it."""

    def __init__(self, engine: Engine, reload: Reload) -> None:
        self._engine = engine
        self._reload = reload

    async def healthy(self, _request: Request) -> Response:
        """200 while the process serves: what watches liveness restarts it otherwise."""
        return PlainTextResponse("Healthy.\n")

    async def ready(self, _request: Request) -> Response:
        """200 once every server's first state poll has ended, whatever its result; 503 before."""
        if self._engine.ready():
            return PlainTextResponse("Ready.\n")
        return PlainTextResponse("Not ready: first polls are still under way.\n", 503)

    async def reload(self, request: Request) -> Response:
        """200 with the new configuration in force; 500 with every mistake, and the old one stays."""
        if request.headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            return PlainTextResponse("Refused: the request comes from another site's page.\n", 403)
        try:
            await run_in_threadpool(self._reload)
        except ConfigurationError as refused:
            return PlainTextResponse(f"{refused}\n", 500)
        return PlainTextResponse("Configuration loaded.\n")

    async def config(self, _request: Request) -> Response:
        """The configuration in force as YAML, with secrets named and never shown."""
        return Response(config.masked(self._engine.settings), media_type="text/yaml")
