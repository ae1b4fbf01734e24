"""The shipped alert rules, faster: what the paging tests run instead of waiting an hour.

Scaled by one factor, and nothing else: `for`, `keep_firing_for`, the group's `interval` and every range of an
expression, which may be given a least length. Thresholds stay; durations that expressions take from metrics (MCLT, intervals) are the simulator's to scale.
"""

import re
from typing import Any

import yaml

_UNITS_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_RANGE = re.compile(r"\[([0-9a-z]+)\]")
_DURATIONS = ("for", "keep_firing_for")


def scaled_duration(duration: str, factor: float) -> str:
    """A duration as Prometheus writes it, times a factor, in whole milliseconds (at least 1: 0 would mean "at once")."""
    return f"{max(1, round(_milliseconds(duration) * factor))}ms"


def _milliseconds(duration: str) -> int:
    return sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(duration))


def scaled(rules: str, factor: float, *, shortest_range: str = "1ms") -> str:
    """A rules file (its text) with every duration times a factor; a range gets no shorter than `shortest_range`."""
    document: dict[str, Any] = yaml.safe_load(rules)
    for group in document["groups"]:
        if "interval" in group:
            group["interval"] = scaled_duration(group["interval"], factor)
        group["rules"] = [_scaled_rule(rule, factor, shortest_range) for rule in group["rules"]]
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1_000)


def _scaled_rule(rule: dict[str, Any], factor: float, shortest_range: str) -> dict[str, Any]:
    durations = {key: scaled_duration(rule[key], factor) for key in _DURATIONS if key in rule}
    expression = _RANGE.sub(
        lambda found: f"[{max(scaled_duration(found[1], factor), shortest_range, key=_milliseconds)}]",
        rule["expr"],
    )
    return {**rule, **durations, "expr": expression}
