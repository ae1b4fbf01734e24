import random

import pytest

from alerts.mutate import Mutant, caught, edits, mutants, rule_name, rules, survivors_expected

SAMPLE = 24


def changed(expression: str) -> list[tuple[str, str]]:
    return [
        (kind, expression[:start] + new + expression[end:]) for kind, start, end, new in edits(expression)
    ]


def test_every_place_of_an_expression_is_changed_once() -> None:
    assert changed('max by (a, b) (m{c="d",e!~"f"}[5m]) > bool 2 unless on (a) n == 0') == [
        ("label", 'max by (b) (m{c="d",e!~"f"}[5m]) > bool 2 unless on (a) n == 0'),
        ("label", 'max by (a) (m{c="d",e!~"f"}[5m]) > bool 2 unless on (a) n == 0'),
        ("label", 'max by (a, b) (m{c!="d",e!~"f"}[5m]) > bool 2 unless on (a) n == 0'),
        ("label", 'max by (a, b) (m{c="d",e=~"f"}[5m]) > bool 2 unless on (a) n == 0'),
        ("comparison", 'max by (a, b) (m{c="d",e!~"f"}[5m]) <= bool 2 unless on (a) n == 0'),
        ("threshold", 'max by (a, b) (m{c="d",e!~"f"}[5m]) > bool 4 unless on (a) n == 0'),
        ("unless", 'max by (a, b) (m{c="d",e!~"f"}[5m]) > bool 2 and on (a) n == 0'),
        ("label", 'max by (a, b) (m{c="d",e!~"f"}[5m]) > bool 2 unless on () n == 0'),
        ("comparison", 'max by (a, b) (m{c="d",e!~"f"}[5m]) > bool 2 unless on (a) n != 0'),
        ("threshold", 'max by (a, b) (m{c="d",e!~"f"}[5m]) > bool 2 unless on (a) n == 1'),
    ]


def test_every_recorded_survivor_is_still_a_mutant_and_has_a_reason() -> None:
    known = {(mutant.name, mutant.change) for mutant in mutants(rules())}
    assert set(survivors_expected()) <= known
    assert all(len(why) > 20 for why in survivors_expected().values())


@pytest.mark.static
@pytest.mark.timeout(300)
def test_a_sample_of_the_mutants_is_caught(promtool: str) -> None:
    """All of them take a quarter of an hour: python tests/alerts/mutate.py."""
    candidates = [it for it in mutants(rules()) if (it.name, it.change) not in survivors_expected()]
    chosen = random.Random(647).sample([it for it in candidates if it.name.startswith("Dhcp")], SAMPLE)  # noqa: S311 - a sample, no secret
    assert [it for it in chosen if not caught(it, rules(), promtool)] == []


@pytest.mark.static
def test_an_unchanged_rule_is_not_caught(promtool: str) -> None:
    index, rule = next((n, it) for n, it in enumerate(rules()) if it.get("alert") == "DhcpFailoverScopeFull")
    assert not caught(Mutant(index, rule_name(rule), "none", "none", rule["expr"]), rules(), promtool)
