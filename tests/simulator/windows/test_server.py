"""What administrators do to a server: drift, replication, rights, firewall, names."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from dhcp_failover_exporter.simulator.windows import (
    DhcpServer,
    Exclusion,
    FirewallRule,
    Network,
    Option,
    Pace,
    Pair,
    Policy,
    Population,
    Reservation,
    Rights,
    Setup,
    add_server,
    hub,
    load_balance,
    scopes,
)
from dhcp_failover_exporter.simulator.windows.cmdlets import Cmdlets, Record
from dhcp_failover_exporter.simulator.windows.events import OPERATIONAL

if TYPE_CHECKING:
    from simulator.windows.conftest import FakeClock

SCOPE = "10.16.0.0"

CHANGES: dict[str, Callable[[Pair], object]] = {
    "property": lambda p: p.primary.set_scope(SCOPE, description="changed"),
    "lease": lambda p: p.primary.set_lease_duration(SCOPE, 60),
    "reservation": lambda p: p.primary.add_reservation(SCOPE, Reservation("10.16.0.77", "00155DA76602")),
    "no reservation": lambda p: p.primary.remove_reservation(SCOPE, "10.16.0.15"),
    "option": lambda p: p.primary.set_option(Option(42, ("10.0.0.5",)), SCOPE),
    "no option": lambda p: p.primary.remove_option(6, SCOPE),
    "exclusion": lambda p: p.primary.add_exclusion(SCOPE, Exclusion("10.16.0.90", "10.16.0.91")),
    "no exclusion": lambda p: p.primary.remove_exclusion(SCOPE, "10.16.0.10"),
    "policy": lambda p: p.primary.set_policy(SCOPE, Policy("Guests")),
    "no policy": lambda p: p.primary.remove_policy(SCOPE, "Phones"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_stays_on_one_side_until_somebody_replicates(change: str, pair: Pair) -> None:
    CHANGES[change](pair)
    assert pair.primary.scopes[SCOPE] != pair.secondary.scopes[SCOPE]
    assert pair.primary.replicate(pair.relationships[0].name, [SCOPE]) == [SCOPE]
    assert pair.primary.scopes[SCOPE] == pair.secondary.scopes[SCOPE]
    assert len(pair.primary.logs[OPERATIONAL].read()) == len(pair.secondary.logs[OPERATIONAL].read()) == 2 + 1


def test_replication_overwrites_what_the_partner_had(pair: Pair) -> None:
    pair.secondary.add_reservation(SCOPE, Reservation("10.16.0.77", "00155DA76602"))
    pair.primary.replicate(pair.relationships[0].name)
    assert len(pair.secondary.scopes[SCOPE].reservations) == 1


def test_server_options_are_never_replicated(pair: Pair) -> None:
    pair.primary.set_option(Option(42, ("10.0.0.5",)))
    pair.primary.replicate(pair.relationships[0].name)
    assert pair.primary.server_options != pair.secondary.server_options


def test_replication_restores_a_scope_deleted_on_the_partner(pair: Pair) -> None:
    pair.secondary.remove_scope(SCOPE)
    assert SCOPE not in [r["ScopeId"] for r in Cmdlets(pair.secondary).get_dhcp_server_v4_scope().records]
    pair.primary.replicate(pair.relationships[0].name)
    assert SCOPE in [r["ScopeId"] for r in Cmdlets(pair.secondary).get_dhcp_server_v4_scope().records]


def relationship(server: DhcpServer) -> Record:
    return Cmdlets(server).get_dhcp_server_v4_failover().records[0]


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [(("netbios", "ip"), ("DHCP02", "10.0.0.1")), (("fqdn", "netbios"), ("dhcp02.lab.local", "DHCP01"))],
)
def test_partner_is_spelled_as_it_was_typed(
    spelling: tuple[str, str], expected: tuple[str, str], clock: "FakeClock"
) -> None:
    pair = Pair.of(clock)
    load_balance("x", *pair.servers, scopes(1), setup=Setup(spelling=spelling))
    assert tuple(relationship(server)["PartnerServer"] for server in pair.servers) == expected


def test_both_sides_of_a_relationship_as_the_cmdlet_shows_them(clock: "FakeClock") -> None:
    pair = Pair.of(clock)
    load_balance("x", *pair.servers, [], percent=70, setup=Setup(pace=Pace(mclt=10, state_switch=20)))
    one, other = (relationship(server) for server in pair.servers)
    assert (one["LoadBalancePercent"], other["LoadBalancePercent"]) == (70, 30)
    assert (one["ServerType"], other["ServerType"]) == ("PrimaryServer", "SecondaryServer")
    assert (str(one["MaxClientLeadTime"]), str(one["StateSwitchInterval"])) == ("0:00:10", "0:00:20")
    assert (one["ServerRole"], one["ReservePercent"], one["ScopeId"]) == (None, None, [])


def test_parameters_changed_on_one_side_differ(pair: Pair) -> None:
    pair.primary.set_failover_parameters(pair.relationships[0].name, mclt_seconds=7200.0)
    assert [str(relationship(server)["MaxClientLeadTime"]) for server in pair.servers] == [
        "2:00:00",
        "0:02:00",
    ]


def test_cmdlet_changes_both_sides_of_a_connected_pair(pair: Pair) -> None:
    Cmdlets(pair.primary).set_dhcp_server_v4_failover(pair.relationships[0].name, mclt_seconds=7200.0)
    assert [str(relationship(server)["MaxClientLeadTime"]) for server in pair.servers] == ["2:00:00"] * 2


def test_forcing_the_partner_down_in_a_state_that_forbids_it(pair: Pair) -> None:
    pair.primary.restart_service()
    answer = Cmdlets(pair.primary).set_dhcp_server_v4_failover(pair.relationships[0].name, partner_down=True)
    assert [error.fully_qualified_error_id for error in answer.errors] == [
        "DHCP 20120,Set-DhcpServerv4Failover"
    ]


def test_forgotten_relationship_is_known_to_one_side_only(pair: Pair, clock: "FakeClock") -> None:
    pair.secondary.forget_relationship(pair.relationships[0].name)
    clock.sleep(60)
    assert [len(Cmdlets(s).get_dhcp_server_v4_failover().records) for s in pair.servers] == [2, 1]
    assert relationship(pair.primary)["State"] in {"CommunicationInterrupted", "PartnerDown"}


def test_readers_may_not_write(pair: Pair) -> None:
    pair.primary.grant("LAB\\reader", Rights.dhcp_users())
    reader = Cmdlets(pair.primary, "lab\\READER")
    refused = reader.invoke_dhcp_server_v4_failover_replication()
    assert [error.category for error in refused.errors] == ["PermissionDenied"]
    assert reader.get_dhcp_server_v4_scope().records


def test_block_rule_of_a_group_policy_closes_the_port(pair: Pair, clock: "FakeClock") -> None:
    rule = FirewallRule("GPO-Block", action="Block", local_ports=("600-700",), source="GroupPolicy")
    pair.secondary.add_firewall_rule(rule)
    clock.sleep(30)
    assert relationship(pair.primary)["State"] == "CommunicationInterrupted"
    pair.secondary.remove_firewall_rule("GPO-Block")
    clock.sleep(30)
    assert relationship(pair.primary)["State"] == "Normal"


def test_unknown_partner_name_is_not_found(pair: Pair) -> None:
    assert pair.network.connect(pair.primary, "nobody").error == "NameNotFound"
    assert pair.network.connect(pair.primary, "DHCP02").error is None


def test_hub_stands_by_for_every_branch(clock: "FakeClock") -> None:
    _, centre, branches = hub(3, clock, scopes_each=2, setup=Setup(population=Population(clients=5)))
    records = Cmdlets(centre).get_dhcp_server_v4_failover().records
    assert [(r["ServerRole"], r["PartnerServer"]) for r in records] == [
        ("Standby", f"{branch.fqdn}") for branch in branches
    ]


def test_error_on_demand_for_so_many_times(clock: "FakeClock") -> None:
    server = add_server(Network(clock), "alone", "10.0.0.9")
    error = Cmdlets(server).get_dhcp_server_v4_scope(["1.2.3.0"]).errors[0]
    server.fail("Get-DhcpServerSetting", error, times=2)
    assert [len(Cmdlets(server).get_dhcp_server_setting().errors) for _ in range(3)] == [1, 1, 0]
    server.fail("Get-DhcpServerSetting", error)
    server.heal()
    assert Cmdlets(server).get_dhcp_server_setting().errors == []
