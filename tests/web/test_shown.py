"""What the pages show of a view, to the word and under a clock that stands still."""

import re
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhcp_failover_exporter.failover import Change
from dhcp_failover_exporter.snapshot import PortProbe, ScopeStatistics
from dhcp_failover_exporter.web.overview import overview
from dhcp_failover_exporter.web.page import Filter, Page
from dhcp_failover_exporter.web.view import Overview, Report
from web.test_overview import LEFT, NAMING, NOW, RIGHT, report

PAIR = f"{LEFT}|{RIGHT}"


class Still(Page):
    """The pages over these reports, at `NOW`."""

    def __init__(self, reports: Sequence[Report]) -> None:
        engine = SimpleNamespace(settings=SimpleNamespace(servers=()))
        reload, clock = SimpleNamespace(refused=None), SimpleNamespace(now=lambda: NOW)
        super().__init__(*cast("Any", (engine, reload, clock)))
        self.reports = reports

    def seen(self) -> Overview:
        return overview(self.reports, NAMING, NOW)


def html(path: str, *reports: Report) -> str:
    """The page at a path, with its white space as a browser shows it."""
    page = Still(reports)
    if path == "/":
        shown = page._overview_page(Filter())
    else:
        request = SimpleNamespace(query_params={"pair": PAIR, "name": "lab"})
        shown = page._relationship_page(cast("Any", request))
    return re.sub(r"\s+", " ", bytes(shown.body).decode())


def text(markup: str) -> str:
    """What is read of it, with marks that only eyes or only ears get."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup))


def one(pattern: str, markup: str) -> str:
    (found,) = re.findall(pattern, markup)
    return str(found)


def probe(partner: str, *, reachable: bool) -> PortProbe:
    error = None if reachable else "TimedOut"
    return PortProbe(partner, reachable=reachable, port=647, error=error)


def both(**changes: Any) -> tuple[Report, Report]:
    """The primary reaches the secondary, not the other way round; 75 of 200 addresses are used."""
    pool = ScopeStatistics("10.0.0.0", addresses_free=125, addresses_in_use=75)
    left, right = (
        {"statistics": [pool], "ports": [probe(RIGHT, reachable=True)]},
        {"statistics": [pool], "ports": [probe(LEFT, reachable=False)]},
    )
    return report(LEFT, sections=left, **changes), report(RIGHT, sections=right)


BOTH_PAGES = pytest.mark.parametrize("path", ["/", "/relationship"])


@BOTH_PAGES
def test_since_when_a_side_is_in_its_state(path: str) -> None:
    left, right = both(changes={"lab": Change(NOW - 65, "event")})
    shown = html(path, left, right)
    assert "Normal for 1 min 5 s" in text(shown)
    assert text(shown).count(" for 1 min 5 s") == 1
    assert 'title="2023-11-14T22:12:15Z">1 min 5 s</time>' in shown


@BOTH_PAGES
def test_when_each_side_answered_last(path: str) -> None:
    left, right = both(answered=NOW - 92, polled=NOW - 92)
    sides = re.findall(r'<p class="quiet facts">(.*?)</p>', html(path, left, right))
    assert [text(side).strip() for side in sides] == ["answered 1 min 32 s ago", "answered 1 s ago"]


def test_when_each_server_answered_last() -> None:
    cards = re.findall(
        r'<li class="server-card".*?</li>', html("/", *both(answered=NOW - 92, polled=NOW - 92))
    )
    assert [one(r"answered .*? ago", text(card)) for card in cards] == [
        "answered 1 min 32 s ago",
        "answered 1 s ago",
    ]


FAILED: dict[str, Any] = {"up": False, "sections": {}, "message": "no route", "polled": NOW - 4}


@BOTH_PAGES
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reason": "unreachable", "answered": NOW - 92}, "tried 4 s ago, answered 1 min 32 s ago"),
        ({"reason": "suspended", "answered": NOW - 92}, "held back 4 s ago, answered 1 min 32 s ago"),
        ({"reason": "tls", "answered": None, "related": None}, "tried 4 s ago, not answered yet"),
    ],
)
def test_when_a_server_that_fails_was_tried(path: str, changes: dict[str, Any], told: str) -> None:
    left, right = both()
    shown = text(html(path, replace(left, **FAILED, **changes), right))
    assert shown.count(told) == (2 if path == "/" else 1)
    assert shown.count(" ago, ") == shown.count(told), "of the other server, its answer says it all"


@BOTH_PAGES
def test_both_directions_of_the_port_for_eyes_and_ears(path: str) -> None:
    ports = re.findall(r'<p class="port (\w+)">(.*?)</p>', html(path, *both()))
    assert [(kind, text(port).split()[0]) for kind, port in ports] == [("open", "→"), ("idle", "←")]
    for (_, port), words in zip(
        ports,
        (f"TCP 647 from {LEFT} to {RIGHT}: open", f"TCP 647 from {RIGHT} to {LEFT}: TimedOut"),
        strict=True,
    ):
        assert '<span aria-hidden="true">' in port
        heard = re.sub(r'<span aria-hidden="true">.*?</span>', "", port)
        assert text(heard).split() == words.split()


@BOTH_PAGES
@pytest.mark.parametrize(("used", "looks"), [(75, "used"), (174, "high"), (195, "full")])
def test_the_bar_is_as_long_as_the_usage(path: str, used: int, looks: str) -> None:
    pool = ScopeStatistics("10.0.0.0", addresses_free=200 - used, addresses_in_use=used)
    shown = html(path, *(report(server, sections={"statistics": [pool]}) for server in (LEFT, RIGHT)))
    bar = one(r'<svg class="bar" viewBox="0 0 100 1" .*?</svg>', shown)
    assert one(r"<rect ([^>]*)/>", bar).split() == [f'class="{looks}"', f'width="{used / 2}"', 'height="1"']
