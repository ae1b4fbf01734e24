"""Which scopes the records of the Operational channel name, and which of these records are new."""

import pytest

from dhcp_failover_exporter.changes import ChangeLog, changed_scopes
from dhcp_failover_exporter.snapshot import Event, Scope

SCOPES = (
    Scope("10.0.0.0", subnet_mask="255.255.255.0"),
    Scope("10.0.1.0", subnet_mask="255.255.255.0"),
    Scope("10.0.2.0", subnet_mask="255.255.254.0"),
)
MEMBERS = {"10.0.0.0", "10.0.2.0"}


def change(record_id: int, *inserts: str) -> Event:
    return Event(record_id, 106, inserts)


@pytest.mark.parametrize(
    ("inserts", "named"),
    [
        (("[[10.0.0.0]Office]", "LAB\\admin"), {"10.0.0.0"}),
        (("10.0.0.0",), {"10.0.0.0"}),
        (("Office", "under scope 10.0.0.0.", "LAB\\admin"), {"10.0.0.0"}),
        (("[[10.0.0.17]printer]", "LAB\\admin"), {"10.0.0.0"}),
        (("[[10.0.3.255]printer]",), {"10.0.2.0"}),
        (("10.0.0.10-10.0.0.20",), {"10.0.0.0"}),
        (("10.0.0.9", "10.0.2.9"), {"10.0.0.0", "10.0.2.0"}),
        (("[[10.0.1.0]Not in failover]",), set()),
        (("[[10.0.4.0]Unknown]",), set()),
        (("6 DNS Servers", "LAB\\admin"), set()),
        (("10.0.0.0.17", "1.10.0.0.0", "110.0.0.0", "10.0.0.999", "10.0.0.1000"), set()),
        ((), set()),
    ],
)
def test_a_scope_is_named_by_its_id_or_by_an_address_within(
    inserts: tuple[str, ...], named: set[str]
) -> None:
    assert changed_scopes([change(1, *inserts)], MEMBERS, SCOPES) == named


@pytest.mark.parametrize("mask", [None, "", "not a mask", "255.0.255.0"])
def test_where_no_subnet_is_known_only_the_id_names_a_scope(mask: str | None) -> None:
    scopes = [Scope("10.0.0.0", subnet_mask=mask)]
    assert changed_scopes([change(1, "10.0.0.0")], MEMBERS, scopes) == {"10.0.0.0"}
    assert changed_scopes([change(1, "10.0.0.17")], MEMBERS, scopes) == set()


def test_the_first_read_only_says_from_where_on_changes_count() -> None:
    log, first = ChangeLog(), [change(3), change(7)]
    assert log.unread(first) == ()
    log = log.read(first)
    assert log.unread([change(7)]) == []
    assert log.unread([change(7), change(8), change(9)]) == [change(8), change(9)]


def test_after_an_empty_log_the_first_record_counts() -> None:
    log = ChangeLog().read([])
    assert log.unread([change(1)]) == [change(1)]


@pytest.mark.parametrize("between", [[], [change(2)]])
def test_a_log_that_was_cleared_is_read_from_its_start(between: list[Event]) -> None:
    log = ChangeLog(7)
    assert log.unread(between) == between
    log = log.read(between)
    assert log.unread([*between, change(3)]) == [change(3)]
