"""The README's picture is of the page as it is, and the demo that it was taken of is calm before it is broken."""

from types import SimpleNamespace
from typing import Any, cast

from dhcp_failover_exporter.failover import Naming, topology
from dhcp_failover_exporter.simulator.collector import COMMAND, Collector
from dhcp_failover_exporter.simulator.lab import demo_pairs
from dhcp_failover_exporter.simulator.windows import DhcpServer
from dhcp_failover_exporter.snapshot import SECTIONS, Relationship, parse
from dhcp_failover_exporter.web import advice
from dhcp_failover_exporter.web.overview import overview
from dhcp_failover_exporter.web.page import _unprotected
from dhcp_failover_exporter.web.view import Report
from web.picture import PICTURE, look, mark, marked

NOW = 1_700_000_000.0


def test_the_picture_is_of_the_page_as_it_is() -> None:
    """To take it anew: python tests/web/picture.py."""
    assert mark(PICTURE.read_bytes()) == look()


def test_a_picture_keeps_its_mark() -> None:
    png = PICTURE.read_bytes()
    digest = "0123456789abcdef" * 4
    unmarked = png.replace(b"tEXtLook", b"tEXtElse")
    assert mark(unmarked) is None
    assert mark(marked(unmarked, digest)) == digest


def reported(server: DhcpServer) -> Report:
    """What the page would be built from, once everything was asked."""
    caller = SimpleNamespace(endpoint=SimpleNamespace(language="FullLanguage"))
    caller.account, caller.shell_id = SimpleNamespace(username="svc"), "shell"
    collector = Collector(server, sleep=lambda _: None)
    documents = collector.invoke(COMMAND, {"Section": list(SECTIONS)}, cast("Any", caller))
    sections = parse(list(documents), SECTIONS)
    known = [it for it in sections["relationships"].records if isinstance(it, Relationship)]
    entry = SimpleNamespace(topology=topology(known, Naming(), server.fqdn))
    return Report(
        server.fqdn,
        server.fqdn,
        up=True,
        answered=NOW,
        related=NOW,
        remembered=known,
        sections=sections,
        unprotected=_unprotected(cast("Any", entry), sections),
    )


def test_a_healthy_demo_warns_of_nothing_but_its_scopes_outside_failover() -> None:
    servers = [server for pair in demo_pairs() for server in pair.network.servers]
    naming = Naming([cast("Any", SimpleNamespace(name=it.fqdn, address=it.fqdn)) for it in servers])
    shown = overview([reported(server) for server in servers], naming, NOW)
    problems = [problem for pair in shown.pairs for it in pair.relationships for problem in it.problems]
    assert [(problem.server, problem.meaning) for problem in problems] == [
        ("dhcp01.lab.local", advice.UNPROTECTED.meaning)
    ]
    assert [pair.severity for pair in shown.pairs] == ["warning", "ok"]
