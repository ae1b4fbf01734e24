"""`diff` over the wire, against a drifted pair: what was injected, all of it, and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter import config, diff
from dhcp_failover_exporter.simulator.lab import Lab
from dhcp_failover_exporter.simulator.windows import (
    CmdletError,
    Exclusion,
    Option,
    Pair,
    Policy,
    Reservation,
    access_denied,
    load_balance,
    scopes,
)

pytestmark = pytest.mark.wire

PRIMARY, SECONDARY = "dhcp01.lab.local", "dhcp02.lab.local"


@pytest.fixture
def pair() -> Pair:
    pair = Pair.of()
    pair.relationships = [load_balance("HQ pair", *pair.servers, scopes(500, "10.16.0.0/24"))]
    return pair


@pytest.fixture
def lab(pair: Pair) -> Iterator[Lab]:
    with Lab([pair]) as lab:
        yield lab


def compared(lab: Lab, name: str = "hq pair", **options: Any) -> diff.Comparison:
    return diff.diff(config.parse(lab.configuration(**options), lab.folder), name)


def run(lab: Lab, *arguments: str) -> tuple[int, str, float]:
    """The real program: exit code, output, seconds of CPU."""
    file = lab.folder / "exporter.yml"
    file.write_text(lab.configuration(), encoding="utf-8")
    program = Path(sys.executable).with_name("dhcp-failover-exporter")
    command = [str(program), "--config.file", str(file), "diff", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, output, usage.ru_utime + usage.ru_stime


def drift(pair: Pair) -> set[tuple[str, str, str, str | None]]:
    """Change one side or the other in every way that replication would carry; what a diff must say."""
    ours, theirs = pair.servers
    ours.add_reservation("10.16.3.0", Reservation("10.16.3.77", "00-15-5d-aa-bb-cc", "new printer"))
    theirs.remove_reservation("10.16.4.0", "10.16.4.15")
    theirs.set_option(Option(6, ("10.0.0.99",), name="DNS Servers"), "10.16.5.0")
    ours.set_option(Option(42, ("10.0.0.1",)), "10.16.6.0")
    theirs.add_exclusion("10.17.0.0", Exclusion("10.17.0.200", "10.17.0.210"))
    ours.set_lease_duration("10.17.1.0", 3600.0)
    theirs.set_scope("10.17.2.0", name="Renamed")
    ours.set_policy("10.17.3.0", Policy("Guests", criteria=(("MacAddress", ("EQ", "AABB*")),)))
    theirs.set_option(Option(15, ("elsewhere.local",), type="String"))
    return {
        ("10.16.3.0", "reservations", "10.16.3.77", None),
        ("10.16.4.0", "reservations", "10.16.4.15", None),
        ("10.16.5.0", "options", "6", "Value"),
        ("10.16.6.0", "options", "42", None),
        ("10.17.0.0", "exclusions", "10.17.0.200-10.17.0.210", None),
        ("10.17.1.0", "properties", "", "LeaseDuration"),
        ("10.17.2.0", "properties", "", "Name"),
        ("10.17.3.0", "policies", "Guests", None),
        ("server", "options", "15", "Value"),
    }


def told(document: dict[str, Any]) -> list[tuple[str, str, str, str | None]]:
    by_scope = [(scope["scope"], it) for scope in document["scopes"] for it in scope["differences"]]
    return [
        (scope, it["part"], it["item"], it["field"])
        for scope, it in [*by_scope, *(("server", it) for it in document["server_options"])]
    ]


def test_exactly_the_injected_differences_in_little_time(pair: Pair, lab: Lab) -> None:
    injected = drift(pair)
    code, output, cpu_seconds = run(lab, "HQ pair", "--json")
    document = json.loads(output)
    print(f"diff of 500 scopes: {cpu_seconds:.2f} s of CPU")
    assert sorted(told(document)) == sorted(injected, key=str)
    assert (code, document["scopes_compared"], document["not_compared"]) == (1, 500, [])
    assert cpu_seconds < 5


def test_the_same_is_said_to_be_the_same(lab: Lab) -> None:
    code, output, _ = run(lab, "HQ pair")
    assert (code, output.splitlines()[-1]) == (0, "no difference")


def test_replication_does_what_was_foretold(pair: Pair, lab: Lab) -> None:
    drift(pair)
    before = compared(lab)
    there, back = diff.replications(before)
    assert (there.start_on, there.overwrites) == (PRIMARY, SECONDARY)
    assert [change.verb for change in there.changes] == [
        {"create": "delete", "delete": "create"}.get(change.verb, change.verb) for change in back.changes
    ]
    assert {c.difference.item for c in there.changes if c.verb == "delete"} == {"10.17.0.200-10.17.0.210"}
    pair.primary.replicate("HQ pair", there.scopes)
    after = compared(lab)
    assert after.scopes == ()
    assert [it.item for it in after.server_options] == ["15"], "no replication carries server options"


def test_a_person_reads_who_has_what(pair: Pair, lab: Lab) -> None:
    drift(pair)
    text = diff.text(compared(lab))
    for line in (
        f"HQ pair: {PRIMARY} (primary) and {SECONDARY} (secondary), 500 scopes compared",
        "10.16.3.0  Floor 4",
        f"  reservation 10.16.3.77: only on {PRIMARY}",
        f"    {SECONDARY}  10.0.0.99",
        f"Replication started on {SECONDARY} would make {PRIMARY} the same:",
        "  delete     10.16.3.0 reservation 10.16.3.77",
        "  overwrite  10.16.5.0 option 6 Value: 10.0.0.99 is lost",
        "server options (no replication carries them)",
    ):
        assert any(each.startswith(line) for each in text.splitlines()), line


def test_a_scope_that_one_side_lacks(pair: Pair, lab: Lab) -> None:
    pair.secondary.remove_scope("10.16.7.0")
    comparison = compared(lab)
    assert [(it.scope, it.missing_on) for it in comparison.scopes] == [("10.16.7.0", SECONDARY)]
    assert comparison.exit_code == 1
    assert diff.replications(comparison) == []


def test_what_could_not_be_read_is_no_difference(pair: Pair, lab: Lab) -> None:
    denied: CmdletError = access_denied("Get-DhcpServerv4Policy", SECONDARY)
    pair.secondary.fail("Get-DhcpServerv4Policy", denied)
    comparison = compared(lab)
    assert comparison.scopes == ()
    assert comparison.exit_code == 2
    assert comparison.not_compared == (f"{SECONDARY}: WIN32 5,Get-DhcpServerv4Policy (500 x)",)


def test_an_unknown_relationship(lab: Lab) -> None:
    with pytest.raises(diff.DiffError, match="no server has a relationship 'none'; known: HQ pair"):
        compared(lab, "none")


def test_a_partner_that_is_not_configured(lab: Lab) -> None:
    with pytest.raises(diff.DiffError, match="is not in the configuration"):
        compared(lab, hosts=[PRIMARY])


def test_a_relationship_that_one_side_forgot(pair: Pair, lab: Lab) -> None:
    pair.secondary.forget_relationship("HQ pair")
    with pytest.raises(diff.DiffError, match=f"only {PRIMARY} has the relationship"):
        compared(lab)


def test_a_partner_that_does_not_answer_is_named(lab: Lab) -> None:
    lab.hosts[SECONDARY].winrm.go_down()
    with pytest.raises(diff.DiffError, match=f"{SECONDARY}: no connection"):
        compared(lab)


def test_a_name_that_two_pairs_have(tmp_path: Path) -> None:
    pairs = [Pair.of(names=(f"a{n}", f"b{n}"), subnet=f"10.0.{n}") for n in (1, 2)]
    for n, pair in enumerate(pairs):
        members = scopes(2, f"10.{n + 1}.0.0/24")
        pair.relationships = [load_balance("fo", *pair.servers, members)]
    with Lab(pairs) as lab:
        settings = config.parse(lab.configuration(), tmp_path)
        with pytest.raises(diff.DiffError, match="--server"):
            diff.diff(settings, "fo")
        assert [side.server for side in diff.diff(settings, "fo", "b2.lab.local").sides] == [
            "a2.lab.local",
            "b2.lab.local",
        ]


@pytest.mark.parametrize("others", [0, 30])
def test_a_relationship_without_scopes_has_server_options_to_compare(others: int) -> None:
    """And nothing of another relationship of the same servers, whose scopes differ."""
    pair = Pair.of()
    stale = load_balance("stale", *pair.servers, [])
    pair.relationships = [stale, load_balance("HQ", *pair.servers, scopes(others, "10.16.0.0/24"))]
    if others:
        pair.secondary.set_scope("10.16.0.0", name="Renamed")
    with Lab([pair]) as lab:
        code, output, _ = run(lab, "stale")
        assert (code, output.splitlines()[-1]) == (0, "no difference")
        assert "no scopes on either server" in output
        pair.secondary.set_option(Option(15, ("elsewhere.local",), type="String"))
        comparison = compared(lab, "stale")
    assert (comparison.compared, comparison.scopes, comparison.not_compared) == (0, (), ())
    assert [it.item for it in comparison.server_options] == ["15"]
    assert comparison.exit_code == 1
    read = pair.primary.calls["Get-DhcpServerv4Reservation"]
    assert read == (2 if others else 0), "one scope at most, however many the other relationship has"
