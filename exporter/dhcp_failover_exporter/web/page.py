"""The status page and its JSON API: the board's entries, seen as pairs.

    GET /                                          the page; `filter` and `problems=true` choose pairs
    GET /relationship?pair=PAIR&name=NAME          one relationship with its scopes
    GET /api/v1/pairs                              {"now": ..., "configuration_refused": Refusal or null,
                                                    "pairs": [PairView ...]}, without scopes
    GET /api/v1/servers                            {"now": ..., "servers": [ServerView ...]}
    GET /api/v1/relationships?pair=PAIR&name=NAME  RelationshipView with its scopes; 404 where there is none

A relationship asked for without its pair or its name is 400.

The views are those of `view.py`, field for field, worst first; `pair` is the label of that name. Times are
epoch seconds.
The page decides nothing: it shows the views, and its script fetches the same HTML again and patches it in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from dhcp_failover_exporter import __version__
from dhcp_failover_exporter.config import ServerSettings
from dhcp_failover_exporter.engine import Clock, Engine, Entry
from dhcp_failover_exporter.failover import Change, Naming, folded
from dhcp_failover_exporter.snapshot import Scope, Section
from dhcp_failover_exporter.web import advice, words
from dhcp_failover_exporter.web.overview import overview
from dhcp_failover_exporter.web.reload import Reload
from dhcp_failover_exporter.web.view import Overview, PairView, RelationshipView, Report

# The page asks as often as news can come, within these bounds.
LEAST_REFRESH_SECONDS: Final = 1.0
MOST_REFRESH_SECONDS: Final = 5.0
_TEMPLATES: Final = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Filter:
    """Which pairs to show: those that say `text` anywhere, and, if wanted, only those with problems."""

    text: str = ""
    problems_only: bool = False

    @property
    def active(self) -> bool:
        """Whether anything can be left out."""
        return bool(self.text) or self.problems_only

    def shows(self, pair: PairView) -> bool:
        """Whether the pair stays."""
        if self.problems_only and pair.severity == "ok":
            return False
        return not self.text or self.text.casefold() in words.of_pair(pair)


class Page:
    """The endpoints, over the engine's board."""

    def __init__(self, engine: Engine, reload: Reload, clock: Clock) -> None:
        self._engine = engine
        self._reload = reload
        self._clock = clock
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            finalize=words.harmless,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(words.FILTERS)

    async def overview(self, request: Request) -> Response:
        """All pairs, worst first, and all servers."""
        chosen = Filter(
            request.query_params.get("filter", "").strip(), request.query_params.get("problems") == "true"
        )
        return await run_in_threadpool(self._overview_page, chosen)

    async def relationship(self, request: Request) -> Response:
        """One relationship: both sides, parameters, scopes."""
        return await run_in_threadpool(self._relationship_page, request)

    async def api_pairs(self, _request: Request) -> Response:
        """All pairs."""
        return await run_in_threadpool(self._pairs)

    async def api_servers(self, _request: Request) -> Response:
        """All servers."""
        seen = await run_in_threadpool(self.seen)
        return JSONResponse({"now": seen.now, "servers": [asdict(server) for server in seen.servers]})

    async def api_relationships(self, request: Request) -> Response:
        """One relationship with its scopes."""
        return await run_in_threadpool(self._relationship, request)

    def seen(self) -> Overview:
        """Everything that is known at this moment."""
        settings = self._engine.settings
        now, forward = self._clock.now(), self._clock.monotonic()
        entries = self._engine.entries()
        reports = [
            report(server, entries[server.name], now, forward)
            for server in settings.servers
            if server.name in entries
        ]
        return overview(reports, Naming(settings.servers, settings.aliases), now)

    def _pairs(self) -> Response:
        seen = self.seen()
        pairs = [
            asdict(replace(pair, relationships=tuple(replace(r, scopes=()) for r in pair.relationships)))
            for pair in seen.pairs
        ]
        refused = self._reload.refused
        return JSONResponse(
            {"now": seen.now, "configuration_refused": refused and asdict(refused), "pairs": pairs}
        )

    def _overview_page(self, chosen: Filter) -> Response:
        seen = self.seen()
        summary = {
            severity: sum(r.severity == severity for pair in seen.pairs for r in pair.relationships)
            for severity in advice.SEVERITIES
        }
        shown = replace(seen, pairs=tuple(filter(chosen.shows, seen.pairs)))
        return self._html(
            "overview.html", overview=shown, filter=chosen, summary=summary, words=words.SEVERITIES
        )

    def _relationship_page(self, request: Request) -> Response:
        try:
            found = self._found(request)
        except _NotFoundError as error:
            name = request.query_params.get("name", "")
            gone = error.status == HTTPStatus.NOT_FOUND
            return self._html("missing.html", error.status, name=name, why=str(error), gone=gone)
        return self._html("relationship.html", relationship=found)

    def _relationship(self, request: Request) -> Response:
        try:
            return JSONResponse(asdict(self._found(request)))
        except _NotFoundError as error:
            return JSONResponse({"error": str(error)}, error.status)

    def _found(self, request: Request) -> RelationshipView:
        for parameter in ("pair", "name"):
            if not request.query_params.get(parameter):
                raise _NotFoundError(400, f"parameter {parameter} is missing: ask with ?pair=PAIR&name=NAME")
        pair, name = request.query_params["pair"], request.query_params["name"]
        found = self.seen().relationship(pair, name)
        if found is None:
            raise _NotFoundError(404, f"no relationship {name!r} is known between {pair!r}")
        return found

    def _html(self, template: str, status: int = 200, **context: Any) -> Response:
        rendered = self._environment.get_template(template).render(
            version=__version__,
            refresh_seconds=refresh_seconds(self._engine.settings.servers),
            now=self._clock.now(),
            refused=self._reload.refused,
            **context,
        )
        return HTMLResponse(rendered, status)


def refresh_seconds(servers: Iterable[ServerSettings]) -> float:
    """How often a page asks again: as often as the quickest server is polled, within bounds."""
    quickest = min((server.intervals.state_seconds for server in servers), default=MOST_REFRESH_SECONDS)
    return min(max(quickest, LEAST_REFRESH_SECONDS), MOST_REFRESH_SECONDS)


class _NotFoundError(Exception):
    """There is no such relationship, or nobody said which one; with the status to answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def report(server: ServerSettings, entry: Entry, now: float, forward: float) -> Report:
    """What the board knows of a server, at a moment given by both clocks."""
    health, related = entry.publication.health, entry.sections.get("relationships")
    up, fresh = health.up(forward), _fresh(entry, forward)
    return Report(
        server=server.name,
        address=server.address,
        up=up,
        reason=None if up else health.failure or ("timeout" if health.answered is not None else None),
        message=entry.message or "",
        polled=entry.polled,
        answered=None if health.answered is None else now - (forward - health.answered),
        interval_seconds=server.intervals.state_seconds,
        sections=fresh,
        incomplete=_incomplete(entry),
        remembered=[link.relationship for link in entry.topology.links],
        related=None if related is None else now - (forward - related.started),
        changes=_changes(entry),
        clock=entry.clock if "server" in fresh else None,
        fingerprints=_fingerprints(entry, forward),
        unprotected=_unprotected(entry, fresh) if server.scope_metrics == "all" else (),
    )


def _fresh(entry: Entry, forward: float) -> Mapping[str, Section]:
    published = entry.publication.sections
    return {
        name: answer.section
        for name, answer in entry.sections.items()
        if name in published and published[name].fresh(forward)
    }


def _incomplete(entry: Entry) -> Mapping[str, str]:
    sections = entry.publication.health.sections.items()
    return {name: section.reason for name, section in sections if section.reason is not None}


def _changes(entry: Entry) -> Mapping[str, Change]:
    changes = ((link.name, entry.history.change_of(link.name)) for link in entry.topology.links)
    return {name: change for name, change in changes if change is not None}


def _fingerprints(entry: Entry, forward: float) -> str:
    blocks = entry.publication.blocks(forward)
    return "".join(block.lines.decode() for block in blocks if block.family.name.endswith("_fingerprint"))


def _unprotected(entry: Entry, fresh: Mapping[str, Section]) -> Sequence[str]:
    """Of a server with a partner: active scopes in no relationship, where all relationships are known."""
    topology = entry.topology
    if not topology.links or not topology.complete or not {"relationships", "scopes"} <= fresh.keys():
        return ()
    scopes = (record for record in fresh["scopes"].records if isinstance(record, Scope))
    return [
        scope.scope_id
        for scope in scopes
        if folded(scope.state or "") == "active" and scope.scope_id not in topology.membership
    ]
