import re
import subprocess
from pathlib import Path

import pytest
import yaml

from alerts.mutate import RULES
from e2e.scale import scaled, scaled_duration


@pytest.mark.parametrize(
    ("duration", "factor", "expected"),
    [("10m", 1 / 60, "10000ms"), ("1h30m", 1 / 60, "90000ms"), ("30s", 0.5, "15000ms"), ("1s", 1e-9, "1ms")],
)
def test_a_duration_is_scaled_to_whole_milliseconds(duration: str, factor: float, expected: str) -> None:
    assert scaled_duration(duration, factor) == expected


def test_everything_that_lasts_is_scaled_and_nothing_else() -> None:
    rules = """
groups:
  - name: g
    interval: 30s
    rules:
      - {record: "a:increase15m", expr: 'increase(b{c="[1h]x"}[15m]) > 60'}
      - {alert: A, expr: 'a > 60', for: 5m, keep_firing_for: 1h, labels: {severity: critical}}
"""
    (group,) = yaml.safe_load(scaled(rules, 0.1))["groups"]
    assert group["interval"] == "3000ms"
    record, alert = group["rules"]
    assert record["record"] == "a:increase15m"
    assert record["expr"].endswith("[90000ms]) > 60")
    assert alert == {
        "alert": "A",
        "expr": "a > 60",
        "for": "30000ms",
        "keep_firing_for": "360000ms",
        "labels": {"severity": "critical"},
    }


def test_a_range_gets_no_shorter_than_told() -> None:
    rules = "groups: [{name: g, rules: [{record: a, expr: 'x[5m] + x[1h]'}]}]"
    (group,) = yaml.safe_load(scaled(rules, 0.01, shortest_range="6s"))["groups"]
    assert group["rules"][0]["expr"] == "x[6s] + x[36000ms]"


def test_the_shipped_rules_scaled_are_rules(promtool: str, tmp_path: Path) -> None:
    text = scaled(RULES.read_text(), 1 / 60)
    assert not re.search(r"\[\d+[smh]\]", text)
    (tmp_path / "scaled.yml").write_text(text)
    subprocess.run(
        [promtool, "check", "rules", str(tmp_path / "scaled.yml")], check=True, capture_output=True
    )
