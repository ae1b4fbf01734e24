"""The rules of grafana's dashboard-linter that apply, and ours; what is excepted from one is listed with the reason."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import history, promql
from dhcp_failover_exporter import failover
from dhcp_failover_exporter.metrics import CATALOGUE

Json = dict[str, Any]

# (dashboard, variable): why it is missing, or offers one value only.
VARIABLE_EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("dhcp-failover-relationship", "pair"): "is about one pair; a regular expression would read its | as or",
    ("dhcp-failover-relationship", "server"): "all are the two of the pair, by name",
    ("dhcp-failover-relationship", "relationship"): "all are those of the pair, by name",
    ("dhcp-failover-exporter", "pair"): "nothing in it is about a pair",
    ("dhcp-failover-exporter", "relationship"): "nothing in it is about a relationship",
}
# A metric, or "variable of a dashboard": why its selectors do not take every choice of job and server. Recording rules'
# series, whose names have a colon, have no job and are joined with what has.
_FIRST = "the first choice: it offers the jobs themselves"
_SERVERS = "offers the servers themselves: a choice would take away all others"
_OF_THE_PAIR = "comes after the pair, whose servers it offers"
SELECTOR_EXCEPTIONS: Mapping[str, str] = {
    "ALERTS": "made by rules, which drop job and instance",
    "job of dhcp-failover-fleet": _FIRST,
    "job of dhcp-failover-relationship": _FIRST,
    "job of dhcp-failover-exporter": _FIRST,
    "server of dhcp-failover-fleet": _SERVERS,
    "server of dhcp-failover-exporter": _SERVERS,
    "instance of dhcp-failover-exporter": "offers the instances themselves: a choice would take away all others",
    "pair of dhcp-failover-relationship": "stands before the server, which is one of the pair's",
    "server of dhcp-failover-relationship": f"{_OF_THE_PAIR}: a choice would take away the other",
    "relationship of dhcp-failover-relationship": "the pair's: one server alone does not narrow them",
}
# The expression of each record.
RECORDED: Mapping[str, str] = {
    rule["record"]: rule["expr"]
    for group in yaml.safe_load(history.RULES.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}
# Metrics that are not in the catalogue, and their labels.
NOT_OURS: Mapping[str, set[str]] = {
    "ALERTS": {"alertname", "alertstate", "severity", "pair", "relationship", "server"},
    "scrape_duration_seconds": set(),
    "scrape_samples_scraped": set(),
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_start_time_seconds": set(),
}
TARGET_LABELS = {"job", "instance"}
# Grafana's own identifiers that these dashboards may use.
UNITS = {"none", "short", "s", "bytes", "ops", "percentunit", "bool_on_off"}
# Panels, or columns of tables, whose numbers have neither a unit nor words, each with the reason.
UNITLESS: Mapping[str, str] = {
    "Oldest section, in its own intervals": "an age divided by an interval, as its title says",
    "Parameters side by side: Primary": "each row has a unit of its own, which stands beside the parameter's name",
    "Parameters side by side: Secondary": "each row has a unit of its own, which stands beside the parameter's name",
}


def panels(dashboard: Json) -> Iterator[Json]:
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(dashboard: Json) -> Iterator[tuple[str, str]]:
    """(where, PromQL) of each query, those of the variables too."""
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])
            assert selector, variable["query"]["query"]
            yield f"variable {variable['name']}", selector[1] if "{" in selector[1] else f"{selector[1]}{{}}"


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


# --- one source -------------------------------------------------------------------------------------------


def test_files_are_what_the_source_writes(root: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "dashboards.source", str(tmp_path)], cwd=root, check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (root / "dashboards").glob("*.json")}
    assert written.keys() == kept.keys()
    changed = [name for name in kept if kept[name] != written[name]]
    assert not changed, f"run `python -m dashboards.source`: {changed}"
    assert len(kept) == 3


# --- the dashboard as a whole -----------------------------------------------------------------------------


def test_can_be_provisioned_and_linked_to(dashboard: Json, root: Path) -> None:
    assert (root / "dashboards" / f"{dashboard['uid']}.json").exists()
    assert len(dashboard["uid"]) <= 40, "Grafana refuses longer ones"
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["dhcp-failover"]
    assert dashboard["title"].startswith("DHCP failover: ")
    assert dashboard["schemaVersion"] <= 39, "10.4 does not know a newer schema"
    assert not {"id", "version", "__inputs", "__requires"} & dashboard.keys()


def test_links_lead_to_the_other_dashboards_and_to_the_runbooks(dashboard: Json, root: Path) -> None:
    rules = yaml.safe_load((root / "alerts/dhcp-failover.rules.yml").read_text())
    urls = {
        rule["alert"]: rule["annotations"]["runbook_url"]
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    bases = {url.removesuffix(f"{alert}.md") for alert, url in urls.items()}
    *others, runbooks = dashboard["links"]
    assert all(it["keepTime"] and it["type"] == "link" for it in others)
    uids = {path.stem for path in (root / "dashboards").glob("*.json")}
    assert {target for it in others for target in _targets_of(it["url"])} == uids - {dashboard["uid"]}
    assert {runbooks["url"]} == bases
    named = {url for text in strings(dashboard) for url in re.findall(r"https://[^\s)]+\.md", text)}
    assert {url for url in named if "${" not in url} <= set(urls.values())


def test_no_link_passes_all_to_a_dashboard_that_does_not_offer_it(dashboard: Json, root: Path) -> None:
    """Grafana would take All for a value: every panel there would be empty."""
    offers = {
        path.stem: {
            it["name"]: it.get("includeAll") for it in json.loads(path.read_text())["templating"]["list"]
        }
        for path in (root / "dashboards").glob("*.json")
    }
    own = offers[dashboard["uid"]]
    for link in _links(dashboard):
        assert not link.get("includeVars"), f"{link['title']}: hands on whatever is chosen"
        passed = re.findall(r"\$\{(\w+):queryparam\}", link["url"])
        assert set(passed) <= own.keys()
        for target in _targets_of(link["url"]):
            assert {"datasource", "job"} <= set(passed), link["url"]
            assert set(passed) <= offers[target].keys(), f"{link['url']}: sets what {target} does not have"
            assert not [it for it in passed if own[it] and not offers[target][it]], link["url"]


def _links(value: object) -> Iterator[Json]:
    """Of the dashboard, and of the cells of its tables."""
    if isinstance(value, dict):
        if "url" in value:
            yield value
        for item in value.values():
            yield from _links(item)
    elif isinstance(value, list):
        for item in value:
            yield from _links(item)


def _targets_of(url: str) -> list[str]:
    return re.findall(r"^/d/([^?]+)", url)


def test_links_in_tables_name_columns_and_dashboards_that_exist(dashboard: Json, root: Path) -> None:
    uids = {path.stem for path in (root / "dashboards").glob("*.json")}
    for panel in panels(dashboard):
        titles = {it["matcher"]["options"] for it in panel.get("fieldConfig", {}).get("overrides", ())}
        for text in strings(panel.get("fieldConfig", {}).get("overrides", [])):
            assert set(re.findall(r"\$\{__data\.fields\.(\w+)", text)) <= titles
            assert set(_targets_of(text)) <= uids


@pytest.mark.parametrize("name", ["datasource", "job", "server", "pair", "relationship"])
def test_variables(dashboard: Json, name: str) -> None:
    found = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    excepted = (dashboard["uid"], name) in VARIABLE_EXCEPTIONS
    if name == "datasource":
        assert found[name]["type"] == "datasource"
        assert found[name]["query"] == "prometheus"
        assert found[name]["label"] == "Data source"
    elif name in found:
        assert found[name]["datasource"]["uid"] == "${datasource}"
        assert found[name]["refresh"] == 2, "when the time range changes"
        several = (found[name]["multi"], found[name]["includeAll"], found[name].get("allValue"))
        one = name == "pair" and excepted
        assert several == ((False, False, None) if one else (True, True, None if excepted else ".+"))
    else:
        assert excepted


def test_every_variable_is_used(dashboard: Json) -> None:
    """Setting one that no query takes would look like a filter and be none."""
    asked = " ".join(query for _, query in queries(dashboard))
    for variable in dashboard["templating"]["list"]:
        assert variable["type"] == "datasource" or f"${variable['name']}" in asked


def test_panels_lie_side_by_side(dashboard: Json) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


# --- panels -----------------------------------------------------------------------------------------------


def test_panel_says_what_it_shows(panel: Json) -> None:
    assert panel["title"].strip()
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")


def test_panel_asks_something(panel: Json) -> None:
    assert bool(panel.get("targets")) == (panel["type"] != "text")
    assert all(target["expr"].strip() for target in panel.get("targets", ()))


def test_panel_asks_the_chosen_datasource(panel: Json) -> None:
    if panel["type"] == "text":
        return
    asked = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(datasource == {"type": "prometheus", "uid": "${datasource}"} for datasource in asked)


def test_panel_has_a_unit(panel: Json) -> None:
    """Of its values, or for a table, of each column that shows a value."""
    for column, look in _looks(panel):
        assert look["unit"] in UNITS
        bare = look["unit"] == "none" and not look["mappings"]
        place = f"{panel['title']}: {column}" if column else panel["title"]
        assert bare == (place in UNITLESS), f"{place}: a number without a unit needs words"


def _looks(panel: Json) -> Iterator[tuple[str | None, Json]]:
    """(column, how its values look) of a table, where labels are their own words; else (None, how all of them look)."""
    if panel["type"] == "table":
        columns = panel["transformations"][-1]["options"]["renameByName"]
        overrides = {it["matcher"]["options"]: it["properties"] for it in panel["fieldConfig"]["overrides"]}
        for source, title in columns.items():
            look = {it["id"]: it["value"] for it in overrides[title]}
            if source.startswith("Value"):
                yield title, look
            else:
                assert "unit" not in look, f"{title}: a label has no unit"
    elif panel["type"] != "text":
        yield None, panel["fieldConfig"]["defaults"]


def test_columns_of_a_table_exist_in_its_queries(panel: Json) -> None:
    if panel["type"] != "table":
        return
    ordered = panel["transformations"][-1]["options"]
    asked = " ".join(target["expr"] for target in panel["targets"])
    labels = promql.grouped(asked) | promql.introduced(asked)
    values = {f"Value #{target['refId']}" for target in panel["targets"]}
    values = values if len(values) > 1 else {"Value"}
    assert set(ordered["renameByName"]) <= labels | values
    sorted_by = {it["displayName"] for it in panel["options"]["sortBy"]}
    assert sorted_by <= set(ordered["renameByName"].values())
    overridden = {it["matcher"]["options"] for it in panel["fieldConfig"]["overrides"]}
    assert overridden == set(ordered["renameByName"].values())


def test_all_states_have_a_word_and_a_colour(dashboard: Json) -> None:
    """Whoever shows states shows all twelve, each in its own words, numbered alike."""
    mappings = [
        {key: it["text"] for key, it in mapping["options"].items()}
        for mapping in _value_mappings(dashboard)
        if "Normal" in {it["text"] for it in mapping["options"].values()}
    ]
    assert mappings or dashboard["uid"] == "dhcp-failover-exporter"
    for mapping in mappings:
        expected = {str(number): state for number, state in enumerate(failover.STATES)}
        assert {key: mapping[key] for key in expected} == dict(zip(expected, _by_number(), strict=True))
        assert mapping["99"] == "unknown"


def _by_number() -> list[str]:
    """FSM_STATE's order, https://learn.microsoft.com/en-us/windows/win32/api/dhcpsapi/ne-dhcpsapi-fsm_state."""
    return [
        "NoState", "Init", "Startup", "Normal", "CommunicationInterrupted", "PartnerDown", "PotentialConflict",
        "ConflictDone", "ResolutionInterrupted", "Recover", "RecoverWait", "RecoverDone",
    ]  # fmt: skip


def _value_mappings(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        if value.get("type") == "value" and "options" in value:
            yield value
        for item in value.values():
            yield from _value_mappings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _value_mappings(item)


# --- queries ----------------------------------------------------------------------------------------------


def test_selectors_take_the_chosen_job_and_servers(dashboard: Json) -> None:
    for where, query in queries(dashboard):
        assert not promql.unselected(query), where
        variable = where.startswith("variable ")
        excepted = f"{where.removeprefix('variable ')} of {dashboard['uid']}" if variable else where
        assert (excepted in SELECTOR_EXCEPTIONS) <= bool(_untaken(query)), f"{excepted}: not an exception"
        if excepted not in SELECTOR_EXCEPTIONS:
            assert not _untaken(query), f"{where}: {_untaken(query)}"


def _untaken(query: str) -> list[str]:
    """The metrics whose selectors leave out a choice that they could take."""
    return [
        it.metric
        for it in promql.selectors(query)
        if it.metric not in SELECTOR_EXCEPTIONS and not _takes_choices(it, query)
    ]


def _takes_choices(selector: promql.Selector, query: str) -> bool:
    matched = {(label, operator, value) for label, operator, value in selector.matchers}
    if ":" in selector.metric:
        joined = "on (server, pair, relationship)" in query or "on (pair, relationship)" in query
        return joined and {("relationship", "=~", "$relationship"), ("pair", "=~", "$pair")} <= matched
    who = "server" if "server" in _labels_of(selector.metric) else "instance"
    return {("job", "=~", "$job"), (who, "=~", f"${who}")} <= matched


def test_selectors_of_variables_take_the_choices_above_them(dashboard: Json) -> None:
    """Of what they are excepted from, they take the job."""
    for where, query in queries(dashboard):
        if where.startswith("variable ") and where != "variable job":
            assert all(("job", "=~", "$job") in it.matchers for it in promql.selectors(query)), where


def test_selectors_name_metrics_and_labels_of_the_catalogue(dashboard: Json) -> None:
    for where, query in queries(dashboard):
        found = list(promql.selectors(query))
        known: set[str] = set(promql.introduced(query)) | TARGET_LABELS
        for selector in found:
            labels = _labels_of(selector.metric)
            assert selector.labels <= labels | TARGET_LABELS, f"{where}: {selector.metric}"
            known |= labels
        assert promql.grouped(query) <= known, where


def _labels_of(metric: str) -> set[str]:
    if metric in NOT_OURS:
        return NOT_OURS[metric]
    if ":" in metric:
        named = promql.grouped(RECORDED[metric])
        return named.union(*map(_labels_of, _read(metric)))
    histogram = metric.removesuffix("_bucket")
    if histogram != metric:
        assert CATALOGUE[histogram].kind == "histogram"
        return {*CATALOGUE[histogram].labels, "le"}
    return set(CATALOGUE[metric].labels)


def _read(record: str) -> set[str]:
    """What a record is made of."""
    return set(re.findall(r"\bdhcp_failover[_:][\w:]+", RECORDED[record]))


def test_a_panel_that_reads_the_rules_says_so(panel: Json) -> None:
    asked = [promql.selectors(target["expr"]) for target in panel.get("targets", ())]
    reads = any(":" in selector.metric for found in asked for selector in found)
    assert reads == ("Needs alerts/dhcp-failover.rules.yml" in panel["description"])


def test_values_in_matchers_are_words_of_the_exporter(dashboard: Json) -> None:
    """A misspelt state would match nothing, silently."""
    words = {
        "state": set(failover.STATES),
        "server_type": {"primary", "secondary"},
        "mode": {"LoadBalance", "HotStandby"},
    }
    for where, query in queries(dashboard):
        for selector in promql.selectors(query):
            for label, _, value in selector.matchers:
                assert label not in words or set(value.split("|")) <= words[label], where


def test_counters_are_shown_as_rates_and_gauges_are_not(dashboard: Json) -> None:
    for where, query in queries(dashboard):
        for selector in promql.selectors(query):
            counter = selector.metric.endswith(("_total", "_bucket"))
            rated = selector.before.endswith(("rate(", "increase("))
            assert counter == rated, f"{where}: {selector.metric}"
            assert not rated or selector.after.startswith("[$__rate_interval]"), f"{where}: {selector.metric}"


def test_queries_are_promql(root: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    rules = [
        {"record": "dashboard:query", "labels": {"where": where}, "expr": _with_durations(query)}
        for path in (root / "dashboards").glob("*.json")
        for where, query in queries(json.loads(path.read_text()))
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = [program("promtool"), "check", "rules", "--lint=none", str(tmp_path / "rules.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


def _with_durations(query: str) -> str:
    return query.replace("$__rate_interval", "5m").replace("$__range", "6h")


def test_the_large_history_has_all_that_the_fleet_asks_over_time(root: Path) -> None:
    fleet = json.loads((root / "dashboards/dhcp-failover-fleet.json").read_text())
    targets = [target for panel in panels(fleet) for target in panel.get("targets", ())]
    asked = [promql.selectors(target["expr"]) for target in targets if target["range"]]
    assert _scraped({selector.metric for found in asked for selector in found}) == history.OVER_TIME


def _scraped(metrics: set[str]) -> set[str]:
    """What the exporter gives of these: a record is what it is made of."""
    read = {metric: _scraped(_read(metric)) if ":" in metric else {metric} for metric in metrics}
    return set().union(*read.values())


def test_the_large_history_has_all_records_that_the_fleet_asks(root: Path) -> None:
    fleet = json.loads((root / "dashboards/dhcp-failover-fleet.json").read_text())
    asked = [promql.selectors(query) for _, query in queries(fleet)]
    needed = {selector.metric for found in asked for selector in found if ":" in selector.metric}
    made: set[str] = set()
    for records in history.RECORDS:
        assert all({it for it in _read(record) if ":" in it} <= made for record in records)
        made |= set(records)
    assert needed <= made


# --- exceptions -------------------------------------------------------------------------------------------


def test_exceptions_are_needed_and_have_reasons(root: Path) -> None:
    uids = {path.stem for path in (root / "dashboards").glob("*.json")}
    assert {uid for uid, _ in VARIABLE_EXCEPTIONS} <= uids
    listed = (VARIABLE_EXCEPTIONS, SELECTOR_EXCEPTIONS, UNITLESS)
    assert all(len(reason) > 10 for exceptions in listed for reason in exceptions.values())
    named = {
        f"{name} of {uid}" for uid in uids for name in ("job", "instance", "server", "pair", "relationship")
    }
    assert SELECTOR_EXCEPTIONS.keys() - named == {"ALERTS"}
    text = "".join((root / "dashboards" / f"{uid}.json").read_text() for uid in uids)
    assert all(metric in text for metric in NOT_OURS)
    assert all(f'"{place.partition(":")[0]}"' in text for place in UNITLESS)
