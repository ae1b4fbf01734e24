"""Both sides of a relationship, read side by side: relationships first, then the configuration in slices."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from dhcp_failover_exporter.config import ServerSettings, Settings
from dhcp_failover_exporter.diff.comparison import ABSENT, Comparison, Side, compare
from dhcp_failover_exporter.engine.clock import SystemClock
from dhcp_failover_exporter.engine.gate import Gate
from dhcp_failover_exporter.engine.slices import SLICE_SECONDS, scopes_in
from dhcp_failover_exporter.errors import ExporterError, PollError
from dhcp_failover_exporter.failover import Link, Naming, topology
from dhcp_failover_exporter.session import PsrpSession, Session
from dhcp_failover_exporter.snapshot import (
    Relationship,
    ScopeConfiguration,
    Section,
    ServerOptions,
    merge,
    parse,
)

_FIRST_SLICE: Final = 10
_SERVERS_AT_ONCE: Final = 16


class DiffError(ExporterError):
    """The two cannot be compared; the text says why and what to do."""


def diff(settings: Settings, relationship: str, server: str | None = None) -> Comparison:
    """Compare the two sides of a relationship.

    Args:
        settings: both partners must be among its servers.
        relationship: its name, letter case ignored.
        server: one of the partners, where several pairs have a relationship of that name.

    Raises:
        DiffError: there is no such relationship, or it has not two sides that can be asked.
    """
    reader = _Reader(settings)
    ours, theirs = _sides(reader.links(), relationship, server)
    scopes = list(dict.fromkeys([*ours[1].relationship.scope_id, *theirs[1].relationship.scope_id]))
    with ThreadPoolExecutor(2) as workers:
        first, second = workers.map(lambda end: reader.side(end[0], end[1], scopes), (ours, theirs))
    return compare(first, second)


@dataclass(frozen=True)
class Answered:
    """One server's relationships, or why they could not be read."""

    settings: ServerSettings
    links: tuple[Link, ...] = ()
    failure: str | None = None

    @property
    def name(self) -> str:
        """The server's name in the configuration."""
        return self.settings.name


End = tuple[Answered, Link]


def _sides(links: Mapping[str, Answered], name: str, server: str | None) -> tuple[End, End]:
    """The primary's end first. The failure of a server that cannot be asked is told only if it matters."""
    ends = [
        (answered, link)
        for answered in links.values()
        for link in answered.links
        if link.name.casefold() == name.casefold()
    ]
    if server is not None:
        pairs = {link.pair for answered, link in ends if answered.name.casefold() == server.casefold()}
        ends = [end for end in ends if end[1].pair in pairs]
    if len({link.pair for _, link in ends}) > 1:
        at = ", ".join(sorted(answered.name for answered, _ in ends))
        raise DiffError(f"several pairs have a relationship '{name}': choose one with --server ({at})")
    if len(ends) != 2:  # noqa: PLR2004 - two sides
        raise DiffError(_one_sided(name, ends, links))
    first, second = sorted(ends, key=lambda end: end[1].server_type != "primary")
    return first, second


def _one_sided(name: str, ends: Sequence[End], links: Mapping[str, Answered]) -> str:
    failures = "".join(f"\n  {answered.failure}" for answered in links.values() if answered.failure)
    if not ends:
        known = sorted({link.name for answered in links.values() for link in answered.links})
        return f"no server has a relationship '{name}'; known: {', '.join(known) or 'none'}{failures}"
    here, link = ends[0]
    if not link.partner_configured:
        return f"{here.name}'s partner {link.partner} is not in the configuration: add it to servers:"
    return f"only {here.name} has the relationship '{name}', its partner {link.partner} does not{failures}"


class _Reader:
    """Calls to the servers, with every logon behind its credential's gate."""

    def __init__(self, settings: Settings) -> None:
        self._servers = settings.servers
        self._naming = Naming(settings.servers, settings.aliases)
        self._gates = {server.credential.name: Gate(SystemClock()) for server in settings.servers}

    def links(self) -> Mapping[str, Answered]:
        """Every server's relationships, asked for side by side."""
        with ThreadPoolExecutor(_SERVERS_AT_ONCE) as workers:
            return {it.settings.name: it for it in workers.map(self._answered, self._servers)}

    def side(self, answered: Answered, link: Link, scopes: Sequence[str]) -> Side:
        """The configuration of these scopes on one server."""
        server = answered.settings
        asked = scopes or _one_scope(answered)
        with closing(self._session(server)) as session:
            section = merge(list(_slices(session, server, asked))).without(set(asked) - set(scopes))
        if section.failure:
            raise DiffError(f"{server.name}: {section.failure.id or section.failure.message}")
        absent = {error.item for error in section.errors if error.code == ABSENT and error.item}
        found = [it for it in section.records if isinstance(it, ScopeConfiguration)]
        return Side(
            server.name,
            link,
            {it.scope_id: it for it in found},
            frozenset(absent),
            next((it for it in section.records if isinstance(it, ServerOptions)), None),
            section.errors,
        )

    def _answered(self, server: ServerSettings) -> Answered:
        with closing(self._session(server)) as session:
            try:
                section = _ask(session, server, "relationships", ())
            except PollError as error:
                return Answered(server, failure=str(error))
        if section.failure:
            return Answered(server, failure=f"{server.name}: {section.failure.id}")
        records = (it for it in section.records if isinstance(it, Relationship))
        return Answered(server, topology(records, self._naming, server.name).links)

    def _session(self, server: ServerSettings) -> PsrpSession:
        gate = self._gates[server.credential.name]
        return PsrpSession(server, logon=lambda: gate.logon(server.credential, server.name))


def _one_scope(answered: Answered) -> Sequence[str]:
    """What to ask for on a server whose relationship has no scopes, to learn its server options.

    Asked for none, the function reads the scopes of all relationships: there is nothing to read only if none
    of them has any.
    """
    return [scope for link in answered.links for scope in link.relationship.scope_id][:1]


def _ask(session: Session, server: ServerSettings, section: str, scopes: Sequence[str]) -> Section:
    answer = session.collect([section], scopes, timeout_seconds=server.timeout_seconds)
    return parse(answer.documents, [section])[section]


def _slices(session: Session, server: ServerSettings, scopes: Sequence[str]) -> Iterator[Section]:
    """As many scopes at once as hold the server no longer than a slice may, by what the last ones took.

    Without scopes one slice all the same: the server options are in every one.
    """
    count = _FIRST_SLICE
    while True:
        asked, scopes = scopes[:count], scopes[count:]
        started = time.monotonic()
        try:
            section = _ask(session, server, "configuration", asked)
        except PollError as error:
            raise DiffError(str(error)) from error
        yield section
        if not scopes:
            return
        seconds = max(section.elapsed_seconds, (time.monotonic() - started) / 2)
        count = min(scopes_in(SLICE_SECONDS, seconds / len(asked)), 4 * count)
