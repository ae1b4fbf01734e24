"""What Prometheus asks for: `/metrics` and `/probe`.

`/metrics` takes what lies on the board and waits for no server. `/probe` asks one server's worker for its
next state result and waits for that, but no longer than Prometheus itself would.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, cast

from isal import igzip
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from dhcp_failover_exporter.engine import Clock, Engine, Entry
from dhcp_failover_exporter.errors import DeadlineError
from dhcp_failover_exporter.exposition import Publication, join
from dhcp_failover_exporter.metrics import GROUPS, Group
from dhcp_failover_exporter.web import debug, negotiation
from dhcp_failover_exporter.web.own import OwnMetrics

# Of Prometheus' own timeout, what the way back may take; blackbox_exporter's --timeout-offset.
TIMEOUT_OFFSET_SECONDS: Final = 0.5
# Without the header: somebody with curl, who waits as long as blackbox_exporter would.
DEFAULT_TIMEOUT_SECONDS: Final = 120.0
SHORTEST_WAIT_SECONDS: Final = 0.05
# 1 takes a tenth of the time of 6, and is as small within a quarter.
GZIP_LEVEL: Final = 1


class Scrape:
    """Both endpoints, over the engine's board and the exporter's own metrics."""

    def __init__(self, engine: Engine, own: OwnMetrics, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._own = own

    async def metrics(self, request: Request) -> Response:
        """Every server's fresh families, or those of the groups in `collect[]`, and the exporter's own.

        The own families go with the group `state`, so that scrapes of the other groups do not repeat them.
        400 for a group that does not exist.
        """
        groups = _groups(request)
        # Rendering some hundred megabytes must not keep a health check waiting.
        return await run_in_threadpool(self._exposition, request, groups)

    async def probe(self, request: Request) -> Response:
        """The families of the server `target`, after its next state result.

        400 for a target that is missing, given twice or not in the configuration. A state poll that is
        unfinished at the deadline is an answer, too: `up 0`, reason timeout. `debug=true` gives it as a text
        for people.
        """
        target, groups = _target(request), _groups(request)
        settings = self._engine.settings.server(target)
        if settings is None:
            raise HTTPException(400, f"target {target!r} is not in the configuration")
        entry = await self._awaited(settings.name, _wait(request))
        if request.query_params.get("debug") == "true":
            return PlainTextResponse(debug.text(entry, settings, self._clock.monotonic(), groups))
        return await run_in_threadpool(self._answer, request, (entry.publication,), groups)

    async def _awaited(self, server: str, seconds: float) -> Entry:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._engine.probe(server)), seconds)
        except TimeoutError:
            last = self._engine.entries().get(server)
            if last is None:
                raise HTTPException(400, f"target {server!r} is no longer in the configuration") from None
            return _unanswered(last, seconds)

    def _exposition(self, request: Request, groups: Collection[Group] | None) -> Response:
        publications = tuple(self._engine.publications().values())
        return self._answer(request, publications, groups, own=groups is None or "state" in groups)

    def _answer(
        self,
        request: Request,
        publications: Sequence[Publication],
        groups: Collection[Group] | None,
        *,
        own: bool = False,
    ) -> Response:
        chosen = negotiation.choose_format(request.headers.get("accept", ""))
        openmetrics = chosen is negotiation.OPENMETRICS
        body = join(
            publications,
            self._clock.monotonic(),
            openmetrics=openmetrics,
            groups=groups,
            own=self._own.render(openmetrics=openmetrics) if own else b"",
        )
        headers = {"Content-Type": chosen.content_type, "Vary": "Accept, Accept-Encoding"}
        if negotiation.accepts_gzip(request.headers.get("accept-encoding", "")):
            return Response(igzip.compress(body, GZIP_LEVEL), headers=headers | {"Content-Encoding": "gzip"})
        return Response(body, headers=headers)


def _groups(request: Request) -> Collection[Group] | None:
    asked = request.query_params.getlist("collect[]")
    if unknown := [group for group in asked if group not in GROUPS]:
        raise HTTPException(400, f"collect[] {unknown[0]!r} is unknown: use {', '.join(GROUPS)}")
    return cast("list[Group]", asked) or None


def _target(request: Request) -> str:
    match request.query_params.getlist("target"):
        case [target] if target:
            return target
        case [] | [""]:
            raise HTTPException(400, "target is missing: name one server of the configuration")
    raise HTTPException(400, "target is given more than once: name one server")


def _unanswered(last: Entry, seconds: float) -> Entry:
    """What is known, with `up` 0: the state poll did not end within the probe's time."""
    health = replace(last.publication.health, failure=DeadlineError.reason)
    message = f"the state poll was unfinished when the probe's {seconds:g} s had passed"
    return replace(last, publication=replace(last.publication, health=health), message=message)


def _wait(request: Request) -> float:
    header = request.headers.get("x-prometheus-scrape-timeout-seconds")
    try:
        return wait_seconds(header)
    except ValueError:
        raise HTTPException(400, "X-Prometheus-Scrape-Timeout-Seconds is no number above 0") from None


def wait_seconds(header: str | None) -> float:
    """How long a probe may take, from `X-Prometheus-Scrape-Timeout-Seconds` (None: not sent).

    Raises:
        ValueError: the header is no number above 0.
    """
    if header is None:
        return DEFAULT_TIMEOUT_SECONDS
    seconds = float(header)
    if not 0 < seconds < float("inf"):
        raise ValueError("not a duration")
    return max(seconds - TIMEOUT_OFFSET_SECONDS, SHORTEST_WAIT_SECONDS)
