"""Every query of every dashboard, asked of a real Prometheus that holds an hour with incidents in it.

Two exporters watched the same servers, so that a query which joins or counts replicas shows itself.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dashboards import history
from dashboards.asking import EVERYTHING, Page, most_answered, room
from e2e.servers import Prometheus, eventually, prometheus

pytestmark = pytest.mark.e2e

PAIRS, SCOPES, HOURS = 12, 8, 1.0
RELATIONSHIPS = sum(len(history.relationships(pair)) for pair in range(PAIRS))

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
    moment = end if "ALERTS" not in json.dumps(panel) else time.time()
    found, most = most_answered(panel, pages(of, server.url, moment))
    empty = [ref for ref, series in found.items() if not series]
    name = f"{of}: {panel['title']}"
    assert bool(empty) == (name in EMPTY), f"no data for {empty}; listed as empty: {EMPTY.get(name)}"
    assert most <= room(panel), f"{most} series in a panel with room for {room(panel)}"


def panel_of(root: Path, uid: str, title: str) -> dict[str, Any]:
    dashboard = json.loads((root / f"dashboards/{uid}.json").read_text())
    return next(panel for panel in dashboard["panels"] if panel["title"] == title)


def test_one_row_per_relationship_and_the_worst_trouble_in_it(
    server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-fleet", "Relationships, worst first")
    texts = mapped(panel, "Trouble")
    (page,) = pages("dhcp-failover-fleet", server.url, end)
    answers = list(page.ask(panel))
    for answer in answers:
        rows = [(it["metric"]["pair"], it["metric"]["relationship"]) for it in answer.series]
        assert len(rows) == len(set(rows)), f"query {answer.ref} splits a row"
    trouble = {
        it["metric"]["relationship"]: texts[f"{float(it['value'][1]):g}"]["text"] for it in answers[0].series
    }
    assert len(trouble) == RELATIONSHIPS
    assert {incident: trouble[f"failover-{pair:03}"] for pair, incident in enumerate(history.INCIDENTS)} == {
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
        "four relationships": "ok",
    }
    assert {trouble[f"failover-{pair:03}"] for pair in range(len(history.INCIDENTS), PAIRS)} == {"ok"}


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
        ("Relationships watched", RELATIONSHIPS - 1),  # not the one whose credential is refused
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


def mapped(panel: dict[str, Any], title: str) -> Mapping[str, Mapping[str, str]]:
    """The words and colours of a column's values."""
    (override,) = (it for it in panel["fieldConfig"]["overrides"] if it["matcher"]["options"] == title)
    (mappings,) = (it["value"] for it in override["properties"] if it["id"] == "mappings")
    found: Mapping[str, Mapping[str, str]] = mappings[0]["options"]
    return found


def column(panel: dict[str, Any], title: str, page: Page, *by: str) -> dict[Any, float]:
    """The values of a table's column, by these labels."""
    renamed = panel["transformations"][-1]["options"]["renameByName"]
    (ref,) = (source.removeprefix("Value #") for source, it in renamed.items() if it == title)
    targets = [target for target in panel["targets"] if target["refId"] == ref]
    (answer,) = page.ask({**panel, "targets": targets})
    found = {tuple(it["metric"][label] for label in by): float(it["value"][1]) for it in answer.series}
    assert len(found) == len(answer.series), f"{title}: {by} do not tell the rows apart"
    return {key[0] if len(by) == 1 else key: value for key, value in found.items()}


def test_parameters_that_differ_are_marked_and_no_others(server: Prometheus, end: float, root: Path) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "Parameters side by side")
    page = page_of("parameters differ", server, end)
    marks = column(panel, "Compared", page, "parameter")
    assert {parameter: mark for parameter, mark in marks.items() if mark} == {
        "MaxClientLeadTime (s)": 1,
        "AutoStateTransition (1 on)": 1,
        "StateSwitchInterval (s)": 2,
    }
    words = mapped(panel, "Compared")
    assert (words["0"]["text"], words["1"]["text"], words["2"]["text"]) == (
        "same",
        "differs",
        "set on one side",
    )
    assert words["0"]["color"] == "green"
    assert words["1"]["color"] == words["2"]["color"] == "orange"
    primary, secondary = (column(panel, title, page, "parameter") for title in ("Primary", "Secondary"))
    assert marks.keys() == primary.keys()
    assert primary.keys() - secondary.keys() == {"StateSwitchInterval (s)"}
    lead = "MaxClientLeadTime (s)"
    assert (primary[lead], secondary[lead]) == (1800, history.MCLT)


def test_parameters_of_a_silent_partner_are_not_compared(server: Prometheus, end: float, root: Path) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "Parameters side by side")
    page = page_of("partner dead", server, end)
    assert "StateSwitchInterval (s)" in column(panel, "Primary", page, "parameter")
    assert not column(panel, "Secondary", page, "parameter")
    assert not column(panel, "Compared", page, "parameter")


# --- both partners, each under its own heading ------------------------------------------------------------

NORMAL, INTERRUPTED, PARTNER_DOWN, RECOVER_WAIT = 3, 4, 5, 10
PRIMARY, SECONDARY = True, False
# The states of the two partners at the end; None: it gives no answer.
STATES: Mapping[str, tuple[int, int | None]] = {
    "partner dead": (PARTNER_DOWN, None),
    "recovering": (PARTNER_DOWN, RECOVER_WAIT),
    "port closed": (INTERRUPTED, INTERRUPTED),
    "parameters differ": (NORMAL, NORMAL),
}
TOLD_APART = pytest.mark.parametrize("incident", ["partner dead", "recovering"])


def partners(incident: str) -> Mapping[bool, history.Partner]:
    number = history.INCIDENTS.index(incident)
    found = [it for it in history.fleet(PAIRS, SCOPES) if it.pair == number]
    return {it.primary: it for it in found}


def statistics(incident: str, *, primary: bool) -> Mapping[str, Any]:
    """By scope, what that server last said, or nothing of a silent one."""
    it = partners(incident)[primary]
    if STATES[incident][0 if primary else 1] is None:
        return {}
    return {found.scope_id: found for found in history.statistics(it, history.INCIDENT_SECONDS)}


@pytest.mark.parametrize("incident", STATES)
def test_fleet_shows_each_partner_under_its_own_heading(
    incident: str, server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-fleet", "Relationships, worst first")
    (page,) = pages("dhcp-failover-fleet", server.url, end)
    (name,) = history.relationships(history.INCIDENTS.index(incident))

    def cell(title: str) -> float | None:
        return column(panel, title, page, "relationship").get(name)

    assert (cell("State of primary"), cell("State of secondary")) == STATES[incident]
    own = [_least_free(incident, primary=primary) for primary in (PRIMARY, SECONDARY)]
    assert [cell("Least free, primary"), cell("Least free, secondary")] == own
    assert own[0] != own[1]
    closed = incident in {"partner dead", "port closed"}
    assert cell("TCP 647") == (0 if closed else 1)


def _least_free(incident: str, *, primary: bool) -> int | None:
    own = [it.addresses_free_on_this_server for it in statistics(incident, primary=primary).values()]
    return min(own, default=None)


@TOLD_APART
def test_fleet_names_the_servers_by_their_parts(
    incident: str, server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-fleet", "Relationships, worst first")
    (page,) = pages("dhcp-failover-fleet", server.url, end)
    names = {primary: it.name for primary, it in partners(incident).items()}
    assert names[PRIMARY] in {
        it for it, _ in column(panel, "State of primary", page, "primary", "relationship")
    }
    answered = STATES[incident][1] is not None
    named = {it for it, _ in column(panel, "State of secondary", page, "secondary", "relationship")}
    assert (names[SECONDARY] in named) == answered
    assert not {names[PRIMARY]} & named


@TOLD_APART
def test_scopes_show_each_partner_under_its_own_heading(
    incident: str, server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "Scopes")
    page = page_of(incident, server, end)
    first, second = (statistics(incident, primary=primary) for primary in (PRIMARY, SECONDARY))
    expected = {
        "Free, primary": {scope: it.addresses_free_on_this_server for scope, it in first.items()},
        "Free, secondary": {scope: it.addresses_free_on_this_server for scope, it in second.items()},
        "Used by primary": {scope: it.addresses_in_use_on_this_server for scope, it in first.items()},
        "Used by secondary": {scope: it.addresses_in_use_on_this_server for scope, it in second.items()},
        "In use": {scope: pytest.approx(it.percentage_in_use / 100) for scope, it in first.items()},
    }
    values = [tuple(it.values()) for title, it in expected.items() if title != "In use" and it]
    assert len(values) == len(set(values)), "columns that are equal prove nothing"
    assert {title: column(panel, title, page, "scope") for title in expected} == expected
    for title, said in (("Primary lasts", first), ("Secondary lasts", second)):
        lasts = column(panel, title, page, "scope")
        # Two thirds of the pools shrink; those of a server without answer are not known.
        assert len(lasts) == len([scope for number, scope in enumerate(said) if number % 3])
        assert all(seconds > 0 for seconds in lasts.values())
    shorter, longer = (column(panel, f"{it} lasts", page, "scope") for it in ("Secondary", "Primary"))
    assert all(shorter[scope] < longer[scope] for scope in shorter)


def test_port_647_is_shown_in_both_directions_as_open_or_closed(
    server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "TCP 647, both directions")
    (answer,) = page_of("port closed", server, end).ask(panel)
    shown = {it["metric"]["server_type"]: [int(value) for _, value in it["values"]] for it in answer.series}
    assert shown.keys() == {"primary", "secondary"}
    assert set(shown["primary"]) == {0, 1}
    assert shown["primary"] == sorted(shown["primary"], reverse=True), "open, then closed"
    assert set(shown["secondary"]) == {1}


# --- alerts -----------------------------------------------------------------------------------------------


def firing(server: Prometheus) -> list[dict[str, str]]:
    """As Prometheus itself lists them: not by the series that the dashboards read."""
    alerts = httpx.get(f"{server.url}/api/v1/alerts").json()["data"]["alerts"]
    return [it["labels"] for it in alerts if it["state"] == "firing"]


def test_alerts_are_counted_by_pair_and_in_all(server: Prometheus, root: Path) -> None:
    stat = panel_of(root, "dhcp-failover-fleet", "Alerts firing")
    table = panel_of(root, "dhcp-failover-fleet", "Relationships, worst first")
    seen: list[tuple[object, object]] = []

    def agree() -> bool:
        expected = firing(server)
        (page,) = pages("dhcp-failover-fleet", server.url, time.time())
        (answer,) = page.ask(stat)
        by_pair = {
            pair: int(alerts)
            for (pair, _), alerts in column(table, "Alerts", page, "pair", "relationship").items()
        }
        watched = Counter(it["pair"] for it in expected if it.get("pair") in by_pair)
        assert len(watched) > 3, "counting none proves nothing"
        assert max(watched.values()) > 1
        assert len(expected) > sum(watched.values())
        seen.append(((int(answer.series[0]["value"][1]), by_pair), (len(expected), dict(watched))))
        return seen[-1][0] == seen[-1][1]

    # The rules are evaluated each second, between two questions too.
    eventually(agree, 10, "the dashboard counts as Prometheus does")


# --- countdowns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "incident", "whose", "seconds"),
    [
        ("PartnerDown in", "port closed", "both", history.SWITCH_INTERVAL - history.INCIDENT_SECONDS),
        ("Whole pool in", "partner dead", "primary", history.MCLT - history.INCIDENT_SECONDS / 2),
        ("Answers again in", "recovering", "secondary", history.MCLT - history.INCIDENT_SECONDS / 2),
    ],
)
def test_countdown_of_a_state_runs_in_it_and_in_no_other(
    title: str, incident: str, whose: str, seconds: float, server: Prometheus, end: float, root: Path
) -> None:
    panel = panel_of(root, "dhcp-failover-relationship", "If the partner died now")
    left = column(panel, title, page_of(incident, server, end), "server")
    parts = {PRIMARY: "primary", SECONDARY: "secondary"}
    expected = {it.name for primary, it in partners(incident).items() if whose in {"both", parts[primary]}}
    assert left.keys() == expected
    assert list(left.values()) == pytest.approx([seconds] * len(left), abs=61)
    assert column(panel, title, page_of("clocks apart", server, end), "server") == {}
