"""What each dashboard must show, in which order and in which colours, whatever else it shows."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dashboards import promql

Json = dict[str, Any]

FLEET, RELATIONSHIP, EXPORTER = "dhcp-failover-fleet", "dhcp-failover-relationship", "dhcp-failover-exporter"

# What a person on call looks for: by dashboard the panels that show it, "kind: how the title begins", and metrics that
# each must ask, without prefix; a record begins with a colon.
REQUIRED: Mapping[str, Mapping[str, set[str]]] = {
    FLEET: {
        "table: Relationships, worst first": {"state", "partner_reachable", "clock_offset_seconds", "ALERTS"},
        "state-timeline: States over time": {":state:fresh"},
        "stat: Relationships watched": {"relationship_info"},
        "stat: Not Normal": {"state"},
        "stat: Servers without answer": {"up"},
        "stat: Partners unreachable": {"partner_reachable"},
        "table: Partners unreachable": {"partner_reachable"},
        "stat: Own pools dry": {":scope_own_addresses_free"},
        "table: Pools nearly dry": {":scope_own_addresses_free", "scope_usage_ratio"},
        "stat: Largest clock difference": {"clock_offset_seconds"},
        "timeseries: Clock differences": {"clock_offset_seconds"},
        "stat: Scopes that differ": {":scope_drift"},
        "table: Configuration that differs": {":drift"},
        "stat: Alerts firing": {"ALERTS"},
        "table: Alerts firing": {"ALERTS"},
    },
    RELATIONSHIP: {
        "stat: State, as each partner sees it": {"state"},
        "state-timeline: State history": {"state"},
        "table: Parameters side by side": {
            "max_client_lead_time_seconds",
            "state_switch_interval_seconds",
            "auto_state_transition_enabled",
            "message_authentication_enabled",
            "load_balance_ratio",
            "reserve_ratio",
            "relationship_scopes",
        },
        "table: Scopes": {"scope_addresses_free_on_this_server", "scope_addresses_in_use_on_this_server"},
        "timeseries: Own free addresses": {"scope_addresses_free_on_this_server"},
        "timeseries: Addresses in use by server": {"scope_addresses_in_use_on_this_server"},
        "table: If the partner died now": {
            "scope_addresses_free_on_this_server",
            "max_client_lead_time_seconds",
            "state_switch_interval_seconds",
            "state_last_change_timestamp_seconds",
        },
        "stat: TCP 647, primary to secondary": {"partner_reachable"},
        "state-timeline: TCP 647, both directions": {"partner_reachable"},
        "stat: Clocks apart": {"clock_offset_seconds"},
        "timeseries: Binding updates and acks": {"binding_updates_total", "binding_acks_total"},
        "table: Drift by scope": {"scope_config_fingerprint"},
        "table: Alerts firing": {"ALERTS"},
        "text: What the states mean": set(),
    },
    EXPORTER: {
        "timeseries: State polls": {"polls_total", "poll_failures_total"},
        "timeseries: Failed state polls by reason": {"poll_failures_total"},
        "table: Failing now": {"poll_failed"},
        "table: Sections failing now": {"section_failed"},
        "timeseries: Slowest collection by section": {"section_duration_seconds"},
        "timeseries: Sessions open": {"exporter_sessions_open"},
        "timeseries: Sessions opened by reason": {"exporter_sessions_opened_total"},
        "timeseries: Scrape duration": {"scrape_duration_seconds"},
        "timeseries: Samples per scrape": {"scrape_samples_scraped"},
    },
}
# Columns that a table must have, as far as its own queries do not decide.
COLUMNS: Mapping[str, set[str]] = {
    "Relationships, worst first": {
        "Trouble",
        "Pair",
        "State of primary",
        "State of secondary",
        "TCP 647",
        "Least free, primary",
        "Least free, secondary",
        "Clocks apart",
        "Drift",
        "Alerts",
    },
    "If the partner died now": {
        "Own free addresses",
        "Lasts",
        "Must last",
        "PartnerDown in",
        "Whole pool in",
        "Answers again in",
    },
    "Parameters side by side": {"Parameter", "Primary", "Secondary", "Compared"},
    "Scopes": {
        "Free, primary",
        "Free, secondary",
        "Used by primary",
        "Used by secondary",
        "Parts that differ",
    },
}
# The worst on top: (column, descending).
SORTED: Mapping[str, tuple[str, bool]] = {
    "Relationships, worst first": ("Trouble", True),
    "Pools nearly dry, the 20 emptiest": ("Own free", False),
    "Configuration that differs": ("Scopes", True),
    "Parameters side by side": ("Compared", True),
    "Scopes": ("In use", True),
}

Steps = list[tuple[float | None, str]]
NONE_IS_GOOD: Steps = [(None, "green"), (1, "red")]
NONE_IS_BAD: Steps = [(None, "red"), (1, "text")]
# Windows rejects binding updates of a partner whose clock is more than 60 s away.
CLOCKS: Steps = [(None, "green"), (30, "orange"), (60, "red")]
FREE: Steps = [(None, "red"), (1, "orange"), (10, "green")]
LASTS: Steps = [(None, "red"), (3600, "orange"), (86400, "green")]
# (dashboard, panel, column of a table): from where on which colour.
THRESHOLDS: Mapping[tuple[str, str, str | None], Steps] = {
    (FLEET, "Relationships watched", None): NONE_IS_BAD,
    (FLEET, "Not Normal", None): NONE_IS_GOOD,
    (FLEET, "Servers without answer", None): NONE_IS_GOOD,
    (FLEET, "Partners unreachable", None): NONE_IS_GOOD,
    (FLEET, "Own pools dry", None): NONE_IS_GOOD,
    (FLEET, "Largest clock difference", None): CLOCKS,
    (FLEET, "Scopes that differ", None): [(None, "green"), (1, "yellow")],
    (FLEET, "Alerts firing", None): NONE_IS_GOOD,
    (FLEET, "Relationships, worst first", "Least free, primary"): FREE,
    (FLEET, "Relationships, worst first", "Least free, secondary"): FREE,
    (FLEET, "Relationships, worst first", "Clocks apart"): CLOCKS,
    (FLEET, "Relationships, worst first", "Drift"): [(None, "text"), (1, "yellow")],
    (FLEET, "Relationships, worst first", "Alerts"): NONE_IS_GOOD,
    (FLEET, "Pools nearly dry, the 20 emptiest", "Own free"): FREE,
    (FLEET, "Pools nearly dry, the 20 emptiest", "Scope in use"): [
        (None, "green"),
        (0.8, "orange"),
        (0.95, "red"),
    ],
    (FLEET, "Pools nearly dry, the 20 emptiest", "Own lasts"): LASTS,
    (FLEET, "Clock differences between partners, the 20 largest", None): CLOCKS,
    (RELATIONSHIP, "Clocks apart", None): CLOCKS,
    (RELATIONSHIP, "Scopes that differ", None): [(None, "green"), (1, "yellow")],
    (RELATIONSHIP, "If the partner died now", "Dry scopes"): NONE_IS_GOOD,
    (RELATIONSHIP, "Scopes", "In use"): [(None, "text"), (0.8, "orange"), (0.95, "red")],
    (RELATIONSHIP, "Scopes", "Free, primary"): FREE,
    (RELATIONSHIP, "Scopes", "Free, secondary"): FREE,
    (RELATIONSHIP, "Scopes", "Primary lasts"): LASTS,
    (RELATIONSHIP, "Scopes", "Secondary lasts"): LASTS,
    (RELATIONSHIP, "Scopes", "Parts that differ"): [(None, "text"), (1, "yellow")],
    (EXPORTER, "Exporters", None): NONE_IS_BAD,
    (EXPORTER, "Servers", None): NONE_IS_BAD,
    (EXPORTER, "Without answer", None): NONE_IS_GOOD,
    (EXPORTER, "Sections failing", None): NONE_IS_GOOD,
    (EXPORTER, "Configuration", None): [(None, "red"), (1, "green")],
    (EXPORTER, "Scrape", None): [(None, "green"), (1, "orange"), (5, "red")],
    (EXPORTER, "Oldest section, in its own intervals", None): [(None, "green"), (2, "orange"), (3, "red")],
}
NEUTRAL: Steps = [(None, "text")]

# By the words of a value: its hue. Green: as it should be. Blue: passes by itself. Orange: one more failure is an
# outage. Red: act now. Purple: not known.
HUES: Mapping[str, str] = {
    "Normal": "green",
    "Init": "blue",
    "Startup": "blue",
    "Recover": "blue",
    "RecoverWait": "blue",
    "RecoverDone": "blue",
    "ConflictDone": "blue",
    "CommunicationInterrupted": "orange",
    "NoState": "orange",
    "PartnerDown": "red",
    "PotentialConflict": "red",
    "ResolutionInterrupted": "red",
    "unknown": "purple",
    "no answer": "purple",
    "partner silent": "purple",
    "open": "green",
    "closed": "red",
    "yes": "green",
    "no": "red",
    "same": "green",
    "differs": "orange",
    "set on one side": "orange",
    "ok": "green",
    "conflict: leases in dispute": "red",
    "both partners in PartnerDown": "red",
    "partner declared down": "red",
    "no answer from either": "purple",
    "no answer from one": "purple",
    "partners lost contact": "orange",
    "state not known": "orange",
    "gone from a server": "orange",
    "TCP 647 closed": "orange",
    "clocks apart": "orange",
    "recovering: one is silent": "blue",
    "in transition": "blue",
    "own pool dry in a scope": "yellow",
}


def loaded(root: Path) -> Iterator[tuple[str, Json]]:
    """(uid of the dashboard, panel) of each."""
    for uid in (FLEET, RELATIONSHIP, EXPORTER):
        dashboard = json.loads((root / f"dashboards/{uid}.json").read_text())
        yield from ((uid, panel) for panel in dashboard["panels"] if panel["type"] != "row")


def asked(panel: Json) -> set[str]:
    metrics = {it.metric for target in panel.get("targets", ()) for it in promql.selectors(target["expr"])}
    return {metric.removeprefix("dhcp_failover_").removeprefix("dhcp_failover") for metric in metrics}


@pytest.mark.parametrize(
    ("of", "required"), [(of, panel) for of, panels in REQUIRED.items() for panel in panels]
)
def test_dashboard_shows(of: str, required: str, root: Path) -> None:
    found = [
        panel
        for uid, panel in loaded(root)
        if uid == of and f"{panel['type']}: {panel['title']}".startswith(required)
    ]
    assert any(REQUIRED[of][required] <= asked(panel) for panel in found)


@pytest.mark.parametrize("title", COLUMNS)
def test_table_has_the_columns(title: str, root: Path) -> None:
    (panel,) = (panel for _, panel in loaded(root) if panel["title"] == title)
    assert COLUMNS[title] <= set(panel["transformations"][-1]["options"]["renameByName"].values())


@pytest.mark.parametrize("title", SORTED)
def test_the_worst_is_on_top(title: str, root: Path) -> None:
    (panel,) = (panel for _, panel in loaded(root) if panel["title"] == title)
    column, descending = SORTED[title]
    assert panel["options"]["sortBy"] == [{"displayName": column, "desc": descending}]


def test_thresholds_are_where_they_mean_something_and_nowhere_else(root: Path) -> None:
    assert {place: steps for place, steps in _thresholds(root) if steps != NEUTRAL} == THRESHOLDS


def _thresholds(root: Path) -> Iterator[tuple[tuple[str, str, str | None], Steps]]:
    for uid, panel in loaded(root):
        for column, look in _looks(panel):
            steps = look["thresholds"]["steps"]
            yield (uid, panel["title"], column), [(step["value"], step["color"]) for step in steps]


def _looks(panel: Json) -> Iterator[tuple[str | None, Json]]:
    """(column, how its values look) of a table; of another panel (None, how all of them look)."""
    if panel["type"] == "table":
        for override in panel["fieldConfig"]["overrides"]:
            look = {it["id"]: it["value"] for it in override["properties"]}
            if "unit" in look:
                yield override["matcher"]["options"], look
    elif panel["type"] != "text":
        yield None, panel["fieldConfig"]["defaults"]


def test_colours_say_how_bad_it_is(root: Path) -> None:
    shown = set()
    for _, panel in loaded(root):
        for _, look in _looks(panel):
            for result in _results(look["mappings"]):
                assert result["color"].rpartition("-")[2] == HUES[result["text"]], (panel["title"], result)
                shown.add(result["text"])
    assert shown == HUES.keys()


def _results(mappings: list[Json]) -> Iterator[Json]:
    for mapping in mappings:
        if mapping["type"] == "value":
            yield from mapping["options"].values()
        else:
            yield mapping["options"]["result"]
