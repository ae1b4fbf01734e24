"""Mutates every expression of the alert rules, once at every place, and counts what the rule tests catch.

    python tests/alerts/mutate.py --jobs 2            all of them (a quarter of an hour), with a report
    python tests/alerts/mutate.py --rule PortClosed   those of the rules so named

A mutant is the rules file with one token changed:

    comparison   == and !=, > and <=, < and >= change places
    label        a matcher is negated, or a label leaves a by, on or group_left list
    threshold    a number grows: 0 and 1 by one, others to the double
    unless       `unless` and `and` change places, `or` loses its right side's say

Caught means that `promtool test rules` fails. Mutants that survive are listed, each with its reason, in
survivors.yml next to this file. It knows no PromQL beyond tokens.
"""

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "alerts" / "dhcp-failover.rules.yml"
CASES = REPOSITORY / "alerts" / "tests"
SURVIVORS = Path(__file__).with_name("survivors.yml")

_TOKEN = re.compile(
    r"""(?P<string>"[^"]*")|(?P<duration>\[\w+\])|(?P<name>[A-Za-z_][\w:]*)|(?P<number>\d+(?:\.\d+)?)
    |(?P<operator>=~|!~|==|!=|>=|<=|[-+*/<>=])|(?P<other>\S)""",
    re.VERBOSE,
)
_NEGATED = {"==": "!=", "!=": "==", ">": "<=", "<=": ">", "<": ">=", ">=": "<"}
_MATCHER = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_SET_OPERATOR = {"unless": "and", "and": "unless", "or": "unless"}
_LISTS = ("by", "on", "group_left", "group_right")
# Few and short cases first: most mutants die at once.
_BATCHES = (3, 6, 12, 24)

Case = dict[str, Any]


@dataclass(frozen=True)
class Mutant:
    """One change to one rule.

    Args:
        rule: index of the rule in its group.
        name: of the rule: `record`, or `alert` and severity.
        kind: comparison, label, threshold or unless.
        change: where and what, for people and for survivors.yml.
        expression: the changed expression.
    """

    rule: int
    name: str
    kind: str
    change: str
    expression: str


def rules() -> list[dict[str, Any]]:
    """The rules of the one group."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def rule_name(rule: Mapping[str, Any]) -> str:
    """The record's name, or the alert's with its severity, which tells twins apart."""
    return str(rule["record"]) if "record" in rule else f"{rule['alert']} ({rule['labels']['severity']})"


def edits(expression: str) -> Iterator[tuple[str, int, int, str]]:
    """(kind, start, end, replacement) for every place of an expression that a mutant can change."""
    inside = previous = ""  # inside: "{" among matchers, "(" in a list of labels
    for token in _TOKEN.finditer(expression):
        text = token[0]
        if text in "(){}":
            inside = text if text == "{" or (text == "(" and previous in _LISTS) else ""
        elif inside == "(" and token["name"]:
            yield "label", *_listed(expression, token.start(), token.end()), ""
        elif edit := _edit(token, among_matchers=inside == "{"):
            kind, replacement = edit
            yield kind, token.start(), token.end(), replacement
        previous = text


def _edit(token: re.Match[str], *, among_matchers: bool) -> tuple[str, str] | None:
    text = token[0]
    if among_matchers:
        return ("label", _MATCHER[text]) if text in _MATCHER else None
    if text in _NEGATED:
        return "comparison", _NEGATED[text]
    if text in _SET_OPERATOR:
        return "unless", _SET_OPERATOR[text]
    return ("threshold", f"{_grown(float(text)):g}") if token["number"] else None


def _listed(expression: str, start: int, end: int) -> tuple[int, int]:
    """A label of a list, with the comma that goes with it."""
    if following := re.match(r",\s*", expression[end:]):
        return start, end + following.end()
    preceding = re.search(r",\s*$", expression[:start])
    return (preceding.start() if preceding else start), end


def _grown(number: float) -> float:
    return number + 1 if number in (0, 1) else 2 * number


def mutants(all_rules: Sequence[Mapping[str, Any]]) -> Iterator[Mutant]:
    """Every mutant of every rule."""
    for index, rule in enumerate(all_rules):
        expression = str(rule["expr"])
        seen: Counter[str] = Counter()
        for kind, start, end, replacement in edits(expression):
            before = " ".join(expression[max(0, start - 24) : start].split())
            change = f"{before} [{expression[start:end].strip()} -> {replacement}]"
            seen[change] += 1
            change += f" #{seen[change]}" if seen[change] > 1 else ""
            yield Mutant(
                index, rule_name(rule), kind, change, expression[:start] + replacement + expression[end:]
            )


@cache
def cases() -> tuple[Case, ...]:
    """All cases of all rule tests, shortest first."""
    files = sorted(CASES.glob("*.yml"))
    found = [case for file in files for case in yaml.safe_load(file.read_text())["tests"]]
    return tuple(sorted(found, key=_minutes))


def _minutes(case: Case) -> int:
    checks = [*case.get("promql_expr_test", []), *case.get("alert_rule_test", [])]
    return max(int(check["eval_time"].removesuffix("m")) for check in checks)


def _words(text: object) -> set[str]:
    return set(re.findall(r"[\w:]+", str(text)))


def _own(rule: Mapping[str, Any]) -> str:
    return str(rule.get("record") or rule["alert"])


def concerned(index: int, all_rules: Sequence[Mapping[str, Any]]) -> list[int]:
    """The rules that a change of one rule can change, and all that those read. The others stay as they are."""
    changed = {_own(all_rules[index])}
    for rule in all_rules:  # in order of evaluation: a record stands before what reads it
        if changed & _words(rule["expr"]):
            changed.add(_own(rule))
    kept = [number for number, rule in enumerate(all_rules) if _own(rule) in changed]
    read = set().union(*(_words(all_rules[number]["expr"]) for number in kept))
    for number in reversed(range(len(all_rules))):
        if all_rules[number].get("record") in read:
            read |= _words(all_rules[number]["expr"])
            kept.append(number)
    return sorted(set(kept))


def pruned(case: Case, kept: Sequence[Mapping[str, Any]]) -> Case:
    """A case without the series, alerts and checks that a part of the rules does not know."""
    names = {_own(rule) for rule in kept}
    read = set().union(*(_words(rule["expr"]) for rule in kept))
    checks = [
        {**check, "exp_samples": [it for it in check["exp_samples"] if _known(it["labels"], names)]}
        for check in case.get("promql_expr_test", [])
        if _known(check["expr"], names)
    ]
    texts = [it for it in case.get("alert_rule_test", []) if it["alertname"] in names]
    series = [it for it in case["input_series"] if re.split("{", it["series"])[0] in read]
    return {**case, "input_series": series, "promql_expr_test": checks, "alert_rule_test": texts}


def _known(text: str, names: set[str]) -> bool:
    """Whether all alerts and records that a selector or a label set names are among some names."""
    named = re.findall(r'alertname="(\w+)"', text) + re.findall(r"dhcp_failover:[\w:]+", text)
    return set(named) <= names


def ordered_cases(mutant: Mutant, kept: Sequence[Mapping[str, Any]]) -> list[Case]:
    """The cases cut down to some rules, those that show most of what the mutant reads first, short ones first."""
    own = _words(mutant.expression)
    cut = [pruned(case, kept) for case in cases()]
    cut = [
        case for case in cut if case["input_series"] and (case["promql_expr_test"] or case["alert_rule_test"])
    ]

    def rank(case: Case) -> tuple[bool, int, int]:
        fires = any(check["exp_samples"] for check in case["promql_expr_test"])
        return not fires, -len(own & _words(case["input_series"])), _minutes(case)

    return sorted(cut, key=rank)


def batches(ordered: Sequence[Case]) -> Iterator[Sequence[Case]]:
    """The cases in growing batches."""
    rest = iter(ordered)
    for size in itertools.chain(_BATCHES, itertools.repeat(48)):
        if not (batch := list(itertools.islice(rest, size))):
            return
        yield batch


def caught(mutant: Mutant, all_rules: Sequence[Mapping[str, Any]], promtool: str) -> bool:
    """Whether any rule test fails with the mutant."""
    kept = [dict(all_rules[number]) for number in concerned(mutant.rule, all_rules)]
    ordered = ordered_cases(mutant, kept)
    for rule in kept:
        if rule_name(rule) == mutant.name:
            rule["expr"] = mutant.expression
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mutant.rules.yml")
        path.write_text(yaml.safe_dump({"groups": [{"name": "mutant", "rules": kept}]}, sort_keys=False))
        return any(_fails(batch, path, promtool) for batch in batches(ordered))


def _fails(batch: Sequence[Case], rules_file: Path, promtool: str) -> bool:
    test = rules_file.with_name("test.yml")
    test.write_text(
        yaml.safe_dump({"rule_files": [rules_file.name], "evaluation_interval": "1m", "tests": list(batch)})
    )
    return (
        subprocess.run([promtool, "test", "rules", str(test)], check=False, capture_output=True).returncode
        != 0
    )


def survivors_expected() -> dict[tuple[str, str], str]:
    """(rule, change) of the mutants that are known to survive, with the reason."""
    return {(it["rule"], it["change"]): it["why"] for it in yaml.safe_load(SURVIVORS.read_text())}


def run(chosen: Sequence[Mutant], promtool: str, jobs: int) -> list[Mutant]:
    """The survivors among some mutants, `jobs` at a time; reports each as it is found."""
    survivors = []
    with ThreadPoolExecutor(jobs) as pool:
        check = partial(caught, all_rules=rules(), promtool=promtool)
        for mutant, dead in zip(chosen, pool.map(check, chosen), strict=True):
            if not dead:
                print(f"survived: {mutant.name} | {mutant.kind} | {mutant.change}", flush=True)
                survivors.append(mutant)
    return survivors


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the mutants and reports how many were caught, kind by kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--promtool", default="promtool")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rule", default="", help="only rules whose name contains this")
    options = parser.parse_args(arguments)
    chosen = [it for it in mutants(rules()) if options.rule in it.name]
    survivors = run(chosen, options.promtool, options.jobs)
    total, alive = Counter(it.kind for it in chosen), Counter(it.kind for it in survivors)
    for kind, number in (*total.items(), ("all", len(chosen))):
        survived = alive[kind] if kind != "all" else len(survivors)
        print(f"{kind:<12} {number - survived:>4} of {number:>4} caught")
    unexplained = {(it.name, it.change) for it in survivors} - set(survivors_expected())
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
