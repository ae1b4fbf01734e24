"""Every query of every dashboard, asked of a real Prometheus that holds an hour with incidents in it.

Two exporters watched the same servers, so that a query which joins or counts replicas shows itself.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import history
from dashboards.asking import EVERYTHING, MOST_SERIES, Page
from e2e.servers import Prometheus, eventually, prometheus

pytestmark = pytest.mark.e2e

PAIRS, SCOPES, HOURS = 12, 8, 1.0

# Panels without data in this history, each with the reason.
EMPTY: Mapping[str, str] = {}


@pytest.fixture(scope="module")
def end() -> float:
    return time.time()


@pytest.fixture(scope="module")
def server(
    end: float, program: Callable[[str], str], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Prometheus with the history and with our rules, which find it fresh for 5 min: that is its lookback."""
    folder = tmp_path_factory.mktemp("prometheus")
    fleet = history.fleet(PAIRS, SCOPES)
    span = history.Span(end, HOURS)
    history.imported(program("promtool"), folder, fleet, span, replicas=2)
    history.recorded(program, folder, span)
    rules = yaml.safe_load((root / "alerts/dhcp-failover.rules.yml").read_text())
    for group in rules["groups"]:
        group["interval"] = "1s"
        group["rules"] = [{k: v for k, v in rule.items() if k != "for"} for rule in group["rules"]]
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    configuration = {"rule_files": [str(folder / "rules.yml")]}
    with prometheus(program("prometheus"), folder, configuration) as running:
        firing = 'ALERTS{alertstate="firing",alertname="DhcpFailoverPotentialConflict"}'
        eventually(lambda: running.query(firing), 60, "the rules were evaluated")
        yield running


def pages(of: str, url: str, end: float) -> Iterator[Page]:
    """The dashboard with everything chosen; the one about a pair, of each pair with an incident."""
    everything: list[Mapping[str, str]] = [EVERYTHING]
    if of == "dhcp-failover-relationship":
        everything = [history.variables(pair) for pair in range(len(history.INCIDENTS))]
    for variables in everything:
        yield Page(url, end, HOURS * 3600, variables)


def test_each_query_is_answered_with_data_that_fits(
    of: str, panel: dict[str, Any], server: Prometheus, end: float
) -> None:
    found: dict[str, int] = {}
    for page in pages(of, server.url, end if "ALERTS" not in json.dumps(panel) else time.time()):
        for answer in page.ask(panel):
            found[answer.ref] = max(found.get(answer.ref, 0), len(answer.series))
    empty = [ref for ref, series in found.items() if not series]
    name = f"{of}: {panel['title']}"
    assert bool(empty) == (name in EMPTY), f"no data for {empty}; listed as empty: {EMPTY.get(name)}"
    assert max(found.values(), default=0) <= MOST_SERIES[panel["type"]]


def panel_of(root: Path, uid: str, title: str) -> dict[str, Any]:
    dashboard = json.loads((root / f"dashboards/{uid}.json").read_text())
    return next(panel for panel in dashboard["panels"] if panel["title"] == title)


def test_one_row_per_relationship_and_the_worst_trouble_in_it(
    server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-fleet", "Relationships, worst first")
    words = panel["fieldConfig"]["overrides"][0]["properties"]
    texts = next(it["value"][0]["options"] for it in words if it["id"] == "mappings")
    (page,) = pages("dhcp-failover-fleet", server.url, end)
    answers = list(page.ask(panel))
    for answer in answers:
        rows = [(it["metric"]["pair"], it["metric"]["relationship"]) for it in answer.series]
        assert len(rows) == len(set(rows)), f"query {answer.ref} splits a row"
    shown = {
        it["metric"]["relationship"]: texts[f"{float(it['value'][1]):g}"]["text"] for it in answers[0].series
    }
    assert len(shown) == PAIRS
    assert {incident: shown[f"failover-{pair:03}"] for pair, incident in enumerate(history.INCIDENTS)} == {
        "partner dead": "partner declared down",
        "port closed": "partners lost contact",
        "conflict": "conflict: leases in dispute",
        "recovering": "partner declared down",
        "clocks apart": "clocks apart",
        "pool dry": "own pool dry in a scope",
        "configuration differs": "ok",  # has a column of its own
        "parameters differ": "ok",
        "credential refused": "no answer from either",
        "relationship gone": "gone from a server",
    }
    assert {shown[f"failover-{pair:03}"] for pair in range(len(history.INCIDENTS), PAIRS)} == {"ok"}


def test_names_chosen_as_grafana_escapes_them_find_their_pair(
    server: Prometheus, end: float, root: Path
) -> None:
    """Several values become one regular expression whose special characters Grafana escapes, twice in a string."""
    panel = panel_of(root, "dhcp-failover-fleet", "Relationships, worst first")
    pair = r"dhcp000a\\.lab\\.local\\|dhcp000b\\.lab\\.local"
    answers = list(Page(server.url, end, 3600, {**EVERYTHING, "pair": pair}).ask(panel))
    assert [it["metric"]["relationship"] for it in answers[0].series] == ["failover-000"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Relationships watched", PAIRS - 1),  # not the one whose credential is refused
        ("Not Normal", 4),
        ("Servers without answer", 3),
        ("Partners unreachable", 2),
        ("Own pools dry", 1),
        ("Largest clock difference", 90 - 0.02 * history.INCIDENTS.index("clocks apart")),
        ("Scopes that differ", 2),
    ],
)
def test_counts_are_of_the_fleet_not_of_the_exporters(
    title: str, expected: float, server: Prometheus, end: float, root: Path
) -> None:
    (page,) = pages("dhcp-failover-fleet", server.url, end)
    (answer,) = page.ask(panel_of(root, "dhcp-failover-fleet", title))
    assert [float(it["value"][1]) for it in answer.series] == [pytest.approx(expected)]


def page_of(incident: str, server: Prometheus, end: float) -> Page:
    return list(pages("dhcp-failover-relationship", server.url, end))[history.INCIDENTS.index(incident)]


def test_a_parameter_that_differs_is_marked_and_no_other(server: Prometheus, end: float, root: Path) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "Parameters side by side")
    primary, secondary, differs = page_of("parameters differ", server, end).ask(panel)
    marks = {it["metric"]["parameter"]: it["value"][1] for it in differs.series}
    assert {parameter for parameter, mark in marks.items() if mark == "1"} == {"MaxClientLeadTime (s)"}
    assert len(marks) == len(primary.series) == len(secondary.series)


def test_survivor_counts_down_to_the_whole_pool(server: Prometheus, end: float, root: Path) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "If the partner died now")
    renamed = panel["transformations"][-1]["options"]["renameByName"]
    sources = {title: source for source, title in renamed.items()}
    answers = {answer.ref: answer for answer in page_of("partner dead", server, end).ask(panel)}
    (left,) = answers[sources["Whole pool in"].removeprefix("Value #")].series
    passed = history.INCIDENT_SECONDS / 2
    assert left["metric"]["server"] == "dhcp000a.lab.local"
    assert float(left["value"][1]) == pytest.approx(3600 - passed, abs=61)
