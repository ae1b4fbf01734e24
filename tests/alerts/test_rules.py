"""What a reader could check about alerts/, checked: names, runbooks, annotations, metrics, and that tests exist."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.mutate import CASES, REPOSITORY, RULES, cases, rules
from dhcp_failover_exporter.config import Intervals
from dhcp_failover_exporter.failover import EVENT_KINDS, STATES
from dhcp_failover_exporter.metrics import CATALOGUE
from dhcp_failover_exporter.snapshot import REASONS, SECTIONS

ALERTMANAGER = REPOSITORY / "alerts" / "alertmanager.yml"
RUNBOOKS = REPOSITORY / "alerts" / "runbooks"
RUNBOOK_BASE = "https://runbooks.example.com/dhcp-failover/"
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDS = [rule for rule in rules() if "record" in rule]
NAMES = sorted({alert["alert"] for alert in ALERTS})
RECORDED = {rule["record"] for rule in RECORDS}

# Labels that Prometheus and the rules add to the exporter's own.
SCRAPE_LABELS = {"job", "instance"}
RULE_LABELS = {"parameter"}
POLL_REASONS = {
    "auth", "suspended", "unreachable", "timeout", "tls", "quota", "permission", "protocol", "contract",
}  # fmt: skip
VALUES = {
    "state": set(STATES),
    "section": set(SECTIONS),
    "event": set(EVENT_KINDS),
    "reason": set(REASONS) | POLL_REASONS,
    "server_type": {"primary", "secondary"},
    "role": {"Active", "Standby"},
    "direction": {"Inbound", "Outbound"},
    "action": {"Allow", "Block"},
}


def rule_id(rule: dict[str, Any]) -> str:
    return str(rule.get("record") or f"{rule['alert']}-{rule['labels']['severity']}")


def metric_names(text: str) -> set[str]:
    """Names that look like the exporter's metrics or these rules' records."""
    return set(re.findall(r"(?<![\w:])dhcp_failover[_:][\w:]+", text))


def selectors(expression: str) -> list[tuple[str, str, str]]:
    """(metric, label, value) for every matcher of an expression."""
    found = []
    for metric, matchers in re.findall(r"([\w:]+)\{([^}]*)\}", expression):
        found += [
            (metric, label, value) for label, value in re.findall(r'(\w+)\s*[=!]~?\s*"([^"]*)"', matchers)
        ]
    return found


def listed_labels(expression: str) -> set[str]:
    lists = re.findall(r"\b(?:by|on|group_left|group_right)\s*\(([^()]*)\)", expression)
    return {label.strip() for it in lists for label in it.split(",") if label.strip()}


def test_promtool_accepts_the_rules(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", str(RULES)], check=True, capture_output=True)


def test_amtool_accepts_the_sample(amtool: str) -> None:
    subprocess.run([amtool, "check-config", str(ALERTMANAGER)], check=True, capture_output=True)


@pytest.mark.static
@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", sorted(CASES.glob("*.yml")), ids=lambda file: file.stem)
def test_rule_tests_pass(file: Path, promtool: str) -> None:
    ran = subprocess.run([promtool, "test", "rules", str(file)], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert sorted(path.stem for path in RUNBOOKS.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_its_four_parts_filled(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)  # "#" is a comment in there
    title, *parts = re.split(r"^#{1,2} ", prose, flags=re.MULTILINE)[1:]
    assert title.strip() == name
    assert [part.splitlines()[0] for part in parts] == HEADINGS
    assert all(len(part.splitlines()) > 2 for part in parts)
    assert not re.search(r"TODO|FIXME|TBD", text)
    assert metric_names(text) <= RECORDED | set(CATALOGUE)
    links = re.findall(r"\]\((DhcpFailover\w+)\.md\)", text)
    assert set(links) <= set(NAMES)


def test_a_way_through_recovery_is_told_with_its_commands_and_its_risk() -> None:
    """Stopped before the other is told so, or both would lease from the whole pool."""
    parts = [path.read_text().partition("## Mitigation")[2] for path in sorted(RUNBOOKS.iterdir())]
    through_recovery = [part for part in parts if "through recovery" in part]
    assert through_recovery
    for part in through_recovery:
        assert re.search(
            r"Stop-Service DHCPServer.*-PartnerDown.*Start-Service DHCPServer.*\bRisk: .*RecoverWait",
            part,
            re.DOTALL,
        )


def test_how_soon_a_logged_change_shows_is_two_collections_of_the_log() -> None:
    text = (RUNBOOKS / "DhcpFailoverConfigurationDrift.md").read_text()
    told = re.findall(r"usually within (\d+) min", text)
    assert len(told) == 2, "when it shows, and when it ends"
    assert {60.0 * int(minutes) for minutes in told} == {2 * Intervals().pools_seconds}


def test_promtool_accepts_every_query_of_the_runbooks(promtool: str, tmp_path: Path) -> None:
    texts = [path.read_text() for path in sorted(RUNBOOKS.iterdir())]
    blocks = [it for text in texts for it in re.findall(r"```promql\n(.*?)```", text, re.DOTALL)]
    queries = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    file = tmp_path / "runbooks.yml"
    group = {"name": "g", "rules": [{"record": f"q:{n}", "expr": it} for n, it in enumerate(queries)]}
    file.write_text(yaml.safe_dump({"groups": [group]}))
    ran = subprocess.run([promtool, "check", "rules", str(file)], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(queries) > len(NAMES)


@pytest.mark.parametrize("alert", ALERTS, ids=rule_id)
def test_an_alert_says_what_who_and_where_to_read_on(alert: dict[str, Any]) -> None:
    annotations = alert["annotations"]
    assert re.fullmatch(r"DhcpFailover[A-Z][A-Za-z]+", alert["alert"])
    assert alert["labels"] == {"severity": alert["labels"]["severity"]}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert "{{" not in annotations["summary"], "a summary is fixed, or every notification has another subject"
    assert "First check:" in annotations["description"]
    assert annotations["runbook_url"] == f"{RUNBOOK_BASE}{alert['alert']}.md"


def test_the_runbooks_base_is_explained_where_it_can_be_changed() -> None:
    assert RUNBOOK_BASE in RULES.read_text().split("groups:")[0]


@pytest.mark.parametrize("alert", ALERTS, ids=rule_id)
def test_labels_in_annotations_survive_the_expression(alert: dict[str, Any]) -> None:
    texts = " ".join(alert["annotations"].values())
    used = set(re.findall(r"\$labels\.(\w+)", texts))
    labels = listed_labels(alert["expr"]) | {"pair", "server"}
    if alert["expr"].startswith(
        ("dhcp_failover:port_closed", "dhcp_failover:scopes_on_one_partner", "dhcp_failover:views")
    ):
        labels |= {"partner", "relationship"}
    assert used <= labels | ({"relationship"} if "dry_scopes" in alert["expr"] else set()) | {"job"}


def test_every_wait_is_explained() -> None:
    """A comment stands above every alert, or above its twin of the same name right before it."""
    blocks = re.split(r"\n\s*\n", RULES.read_text())
    commented = [block for block in blocks if re.search(r"^\s+# .*\n\s+- alert:", block, re.MULTILINE)]
    explained = {name for block in commented for name in re.findall(r"- alert: (\w+)", block)}
    assert explained == set(NAMES)


@pytest.mark.parametrize("rule", rules(), ids=rule_id)
def test_metrics_labels_and_values_exist(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    assert metric_names(expression) <= RECORDED | set(CATALOGUE)
    known = {label for family in CATALOGUE.values() for label in family.labels} | SCRAPE_LABELS | RULE_LABELS
    assert listed_labels(expression) <= known
    for metric, label, value in selectors(expression):
        if metric in CATALOGUE:
            assert label in CATALOGUE[metric].labels, (metric, label)
        assert label in known
        if label in VALUES and not value.startswith("."):
            assert set(value.split("|")) <= VALUES[label], (label, value)


@pytest.mark.parametrize("alert", ALERTS, ids=rule_id)
def test_alerts_read_recording_rules_only(alert: dict[str, Any]) -> None:
    texts = " ".join(
        [alert["expr"], *re.findall(r'printf "([^|]*)"', " ".join(alert["annotations"].values()))]
    )
    assert metric_names(texts) <= RECORDED


def test_records_stand_before_what_reads_them() -> None:
    seen: set[str] = set()
    for rule in rules():
        own = {rule["record"]} if "record" in rule else set()
        assert metric_names(rule["expr"]) & RECORDED <= seen | own, rule_id(rule)
        seen |= own


def _shown(alert: dict[str, Any], check: dict[str, Any]) -> bool | None:
    """Whether a check expects the alert to fire; None where it does not look at it."""
    if not check["expr"].startswith("ALERTS{") or f'!="{alert["alert"]}"' in check["expr"]:
        return None
    only = re.findall(r'alertname="(\w+)"', check["expr"])
    if only and only != [alert["alert"]]:
        return None
    twin = (f'alertname="{alert["alert"]}"', f'severity="{alert["labels"]["severity"]}"')
    return any(all(part in sample["labels"] for part in twin) for sample in check["exp_samples"])


@pytest.mark.parametrize("alert", ALERTS, ids=rule_id)
def test_every_alert_is_seen_silent_and_firing_in_one_rule_test(alert: dict[str, Any]) -> None:
    seen = [{_shown(alert, check) for check in case.get("promql_expr_test", [])} for case in cases()]
    assert any({True, False} <= it for it in seen)


def test_the_chat_sees_every_severity_and_the_pager_the_critical_ones() -> None:
    routes = yaml.safe_load(ALERTMANAGER.read_text())["route"]["routes"]
    pager = [route for route in routes if route["receiver"] == "pager"]
    chat = [route for route in routes if route["receiver"] == "chat"]
    assert all('severity="critical"' in route["matchers"] and route["continue"] for route in pager)
    assert not any("severity" in matcher for route in chat for matcher in route["matchers"])
    assert routes[0]["matchers"] == ['severity="critical"', 'pair=~".+"']


def test_inhibition_names_alerts_that_exist() -> None:
    document = yaml.safe_load(ALERTMANAGER.read_text())
    named = re.findall(r"DhcpFailover\w+", str(document["inhibit_rules"]))
    assert set(named) <= set(NAMES)
    never = {"DhcpFailoverPotentialConflict", "DhcpFailoverResolutionInterrupted"}
    targets = re.findall(r"DhcpFailover\w+", str([it["target_matchers"] for it in document["inhibit_rules"]]))
    assert not never & set(targets)
