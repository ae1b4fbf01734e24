"""The PowerShell function and its twin compared: neither may say or do what the other does not."""

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from dhcp_failover_exporter.collector import SOURCE
from dhcp_failover_exporter.simulator import collector
from dhcp_failover_exporter.simulator.collector import Collector
from dhcp_failover_exporter.simulator.documents import json_text
from dhcp_failover_exporter.simulator.windows import (
    CmdletError,
    FirewallRule,
    Network,
    Oddities,
    Pair,
    Policy,
    Population,
    Reservation,
    Rights,
    Setup,
    access_denied,
    add_server,
    scopes,
    static_pair,
    unprotected,
)
from dhcp_failover_exporter.simulator.windows.errors import Category
from dhcp_failover_exporter.simulator.windows.events import OPERATIONAL
from dhcp_failover_exporter.simulator.windows.network import FAILOVER_PORT

PARSER = Parser(Language(tree_sitter_powershell.language()))
SECTIONS = (
    "server", "relationships", "ports", "scopes", "statistics",
    "counters", "events", "settings", "firewall", "configuration",
)  # fmt: skip
CALLER = SimpleNamespace(
    account=SimpleNamespace(username="LAB\\svc"),
    endpoint=SimpleNamespace(language="FullLanguage"),
    shell_id="shell",
    stopped=None,
)

Document = dict[str, Any]


class FakeClock:
    """True time, as the test says."""

    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pair(clock: FakeClock) -> Pair:
    setup = Setup(population=Population(clients=10))
    return static_pair(clock, load_balance_scopes=2, hot_standby_scopes=1, unprotected_scopes=1, setup=setup)


def ask(server: Any, *sections: str, **parameters: object) -> list[Document]:
    run = Collector(server, sleep=server.network.clock.sleep)
    texts = run.invoke("Get-DhcpFailoverSnapshot", {"Section": list(sections), **parameters}, CALLER)
    return [json.loads(text) for text in texts]


def data_of(server: Any, section: str, **parameters: object) -> Any:
    return ask(server, section, **parameters)[0]["data"]


# What the script says: read from its syntax tree


def nodes(node: Node, *kinds: str) -> Iterator[Node]:
    if node.type in kinds:
        yield node
    for child in node.children:
        yield from nodes(child, *kinds)


def text(node: Node) -> str:
    return (node.text or b"").decode()


SCRIPT = PARSER.parse(SOURCE.encode()).root_node
FUNCTIONS = {text(each.named_children[0]): each for each in nodes(SCRIPT, "function_statement")}


def hash_keys(function: str) -> list[list[str]]:
    """The keys of every hash literal of a part of the script, in their order."""
    return [
        [text(entry.named_children[0]) for entry in entries_of(literal)]
        for literal in nodes(FUNCTIONS[function], "hash_literal_expression")
    ]


def entries_of(literal: Node) -> Iterator[Node]:
    for body in literal.named_children:
        for entry in body.named_children if body.type == "hash_literal_body" else ():
            if entry.type == "hash_entry":
                yield entry


def script_sections() -> list[str]:
    return re.findall(r"^ +'(\w+)' \{ return", text(FUNCTIONS["Get-SectionContent"]), re.MULTILINE)


def script_cmdlets() -> set[str]:
    names = {text(next(nodes(each, "command_name"))) for each in nodes(SCRIPT, "command")}
    return {name.rpartition("\\")[2] for name in names if "\\" in name}


# Sections and fields


def busy(pair: Pair) -> Pair:
    """A pair that has something to say in every section."""
    pair.primary.set_policy("10.16.0.0", Policy("Phones", ranges=(("10.16.0.40", "10.16.0.50"),)))
    pair.secondary.stop_service()
    return pair


RECORDS = {
    "Get-ServerSection": lambda pair: data_of(pair.primary, "server"),
    "Get-RelationshipSection": lambda pair: data_of(pair.primary, "relationships")[0],
    "Complete-PortConnection": lambda pair: data_of(pair.primary, "ports")[0],
    "Get-ScopeSection": lambda pair: data_of(pair.primary, "scopes")[0],
    "Get-StatisticSection": lambda pair: data_of(pair.primary, "statistics")[0],
    "Get-CounterSection": lambda pair: data_of(pair.primary, "counters"),
    "Get-SettingSection": lambda pair: data_of(pair.primary, "settings"),
    "ConvertTo-FirewallRecord": lambda pair: data_of(pair.primary, "firewall")[0],
    "ConvertTo-OptionRecord": lambda pair: data_of(pair.primary, "configuration")[0]["ServerOptions"][0],
    "Get-ScopeConfiguration": lambda pair: data_of(pair.primary, "configuration")[1],
    "ConvertTo-ScopeProperty": lambda pair: data_of(pair.primary, "configuration")[1]["Scope"],
    "Get-ScopeReservation": lambda pair: data_of(pair.primary, "configuration")[1]["Reservations"][0],
    "ConvertTo-RangeRecord": lambda pair: data_of(pair.primary, "configuration")[1]["Exclusions"][0],
    "Get-ScopePolicy": lambda pair: data_of(pair.primary, "configuration")[1]["Policies"][0],
    "Get-EventSection": lambda pair: data_of(pair.primary, "events"),
    "ConvertTo-EventRecord": lambda pair: data_of(pair.primary, "events")["Events"][0],
    "ConvertTo-Failure": lambda pair: ask(pair.secondary, "scopes")[0]["error"],
    "ConvertTo-ItemFailure": lambda pair: ask(pair.secondary, "settings")[0]["errors"][0],
    "ConvertTo-Silence": lambda pair: silent_answer(pair)["errors"][0],
    "Get-UnknownSection": lambda pair: ask(pair.primary, "bogus")[0]["error"],
}


def silent_answer(pair: Pair) -> Document:
    pair.primary.grant("LAB\\svc", Rights(empty=frozenset({"Get-CimInstance"})))
    return ask(pair.primary, "counters")[0]


def test_twin_knows_the_sections_of_the_script() -> None:
    assert script_sections() == list(SECTIONS)


def test_twin_answers_every_section(pair: Pair) -> None:
    assert [document["section"] for document in ask(pair.primary, *SECTIONS)] == list(SECTIONS)
    assert not [document for document in ask(pair.primary, *SECTIONS) if "error" in document]


@pytest.mark.parametrize("function", RECORDS)
def test_records_have_the_fields_of_the_script_in_its_order(function: str, pair: Pair) -> None:
    assert list(RECORDS[function](busy(pair))) in hash_keys(function)


@pytest.mark.parametrize("section", ["scopes", "bogus"])
def test_documents_have_the_head_of_the_script(section: str, pair: Pair) -> None:
    head, *_ = hash_keys("ConvertTo-Document")
    added = re.findall(r"\$document\.(\w+) =", text(FUNCTIONS["ConvertTo-Document"]))
    document = list(ask(pair.primary, section)[0])
    expected = [*head, *dict.fromkeys(added)]
    assert document == [name for name in expected if name in document]
    assert set(expected) - set(document) == ({"data", "errors"} if section == "bogus" else {"error"})


def test_every_record_of_the_script_is_compared() -> None:
    envelopes = ({"data", "errors"}, {"id", "category", "message"})
    building = {
        name
        for name in FUNCTIONS
        if any(len(keys) > 1 and set(keys) not in envelopes for keys in hash_keys(name))
    }
    assert building - {"ConvertTo-Document", "Start-PortConnection", "Get-DhcpFailoverSnapshot"} <= set(
        RECORDS
    )


# Cmdlets, codes and items


def test_twin_calls_the_cmdlets_of_the_script(pair: Pair) -> None:
    pair.primary.remove_firewall_rule("Microsoft-Windows-DHCP-Failover-TCP-In")
    pair.primary.add_firewall_rule(FirewallRule("Lockdown", action="Block", local_ports=("Any",)))
    ask(pair.primary, *SECTIONS)
    assert set(pair.primary.calls) == script_cmdlets()


def quoted(pattern: str) -> tuple[set[str], set[str]]:
    """The string constants that match, of the script and of the twin."""
    constants = {
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(collector)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return (
        {each for each in re.findall(r"'([^'\n]*)'", SOURCE) if re.fullmatch(pattern, each)},
        {each for each in constants if re.fullmatch(pattern, each)},
    )


@pytest.mark.parametrize(
    "pattern",
    [
        r"(DHCP|WIN32) \d+",
        r"UnknownSection|NoInstance|NoAnswer",
        r"Failover\*.*",
        r"Win32_\w+",
        r"Enable\w+ing",
    ],
)
def test_both_know_the_same_names(pattern: str) -> None:
    script, twin = quoted(pattern)
    assert script == twin
    assert script


def test_both_name_the_same_items() -> None:
    script = set(re.findall(r"-Item '([\w-]+)'", SOURCE))
    twin = set(re.findall(r'_item_failure\(error, "([\w-]+)"\)', inspect.getsource(collector)))
    assert script == twin
    assert len(script) > 5


def test_both_turn_the_failures_of_scopes_into_errors_in_one_part() -> None:
    script = {name for name, part in FUNCTIONS.items() if "Get-ScopeFailure -Record" in text(part)}
    twin = {
        name
        for name, part in inspect.getmembers(collector._Run, inspect.isfunction)
        if "_scope_failures" in part.__code__.co_names
    }
    assert script - {collector.COMMAND} == {
        "Get-ScopeSection",
        "Get-StatisticSection",
        "Get-ConfigurationSection",
    }
    assert twin == {"scope_section", "statistic_section", "configuration_section"}


def test_both_read_the_same_changes() -> None:
    query = text(FUNCTIONS["Get-ConfigurationChange"])
    ranges = re.findall(r"\(EventID>=(\d+) and EventID<=(\d+)\)", query)
    ids = {number for low, high in ranges for number in range(int(low), int(high) + 1)}
    ids |= {int(single) for single in re.findall(r"EventID=(\d+)", query)}
    assert ids == set(collector.CONFIGURATION_CHANGES)
    # The event log refuses a query of more than about twenty comparisons.
    assert query.count("EventID") < 20


def test_both_use_the_same_limits() -> None:
    assert f"$recordsPerDocument = {collector.RECORDS_PER_DOCUMENT}\n" in SOURCE
    assert f"$eventsPerCall = {collector.EVENTS_PER_CALL}\n" in SOURCE
    assert f".AddSeconds({collector.PORT_SECONDS:.0f})" in SOURCE
    assert f"$Address, {FAILOVER_PORT})" in SOURCE


# How the twin, and so the script, behaves


def test_stopped_service_is_1722_per_section_while_the_rest_answers(pair: Pair) -> None:
    pair.primary.stop_service()
    answers = {document["section"]: document for document in ask(pair.primary, *SECTIONS)}
    assert answers["server"]["data"]["ServiceStatus"] == "Stopped"
    assert answers["relationships"]["error"] == {
        "id": "WIN32 1722,Get-DhcpServerv4Failover",
        "category": "NotSpecified",
        "message": "Failed to get information from DHCP server dhcp01.lab.local.",
    }
    assert answers["settings"]["data"]["IsAuthorized"] is None
    assert answers["settings"]["data"]["Transcription"] is False
    assert "data" in answers["firewall"]


def test_missing_rights_cost_their_own_section(pair: Pair) -> None:
    pair.primary.grant("LAB\\svc", Rights(denied=frozenset({"Get-DhcpServerv4Failover", "Get-Service"})))
    answers = {document["section"]: document for document in ask(pair.primary, *SECTIONS)}
    assert answers["relationships"]["error"]["category"] == "PermissionDenied"
    assert answers["server"]["data"]["ServiceStatus"] is None
    assert answers["server"]["errors"][0]["item"] == "ServiceStatus"
    assert {name for name, answer in answers.items() if "error" in answer} == {
        "relationships", "ports", "configuration",
    }  # fmt: skip


def test_hidden_field_is_null(pair: Pair) -> None:
    hidden = frozenset({("Get-DhcpServerSetting", "IsAuthorized")})
    pair.primary.grant("lab\\SVC", Rights(hidden=hidden))
    assert data_of(pair.primary, "settings")["IsAuthorized"] is None


def test_performance_class_without_an_instance_is_null_and_said(pair: Pair) -> None:
    answer = silent_answer(pair)
    assert answer["data"]["BndUpdSent"] is None
    assert answer["data"]["Acks"] is not None
    assert [error["id"] for error in answer["errors"]] == ["NoInstance"]


def test_counters_of_which_both_sources_are_silent_fail_by_name(pair: Pair) -> None:
    silent = frozenset({"Get-CimInstance", "Get-DhcpServerv4Statistics"})
    pair.primary.grant("LAB\\svc", Rights(empty=silent))
    error = ask(pair.primary, "counters")[0]["error"]
    assert (error["id"], error["category"]) == ("NoAnswer", "ObjectNotFound")
    assert "Get-DhcpServerv4Statistics" in error["message"]


def test_silent_statistics_leave_the_performance_class(pair: Pair) -> None:
    pair.primary.grant("LAB\\svc", Rights(empty=frozenset({"Get-DhcpServerv4Statistics"})))
    answer = ask(pair.primary, "counters")[0]
    assert (answer["data"]["Acks"], answer["data"]["BndUpdSent"] is None) == (None, False)
    assert [(each["item"], each["id"]) for each in answer["errors"]] == [
        ("Get-DhcpServerv4Statistics", "NoAnswer")
    ]


def test_script_throws_only_errors_that_it_caught() -> None:
    """What is thrown and null would become the error ScriptHalted."""
    assert set(re.findall(r"throw (\$\w+)", SOURCE)) == {"$errorRecord"}


def test_scope_that_vanished_is_missing_and_said(pair: Pair) -> None:
    pair.primary.oddities.vanish_after_listing.add("10.16.0.0")
    data_of(pair.primary, "scopes")
    answer = ask(pair.primary, "statistics", ScopeId=["10.16.0.0", "10.16.1.0"])[0]
    assert [record["ScopeId"] for record in answer["data"]] == ["10.16.1.0"]
    assert [(error["item"], error["id"].split(",")[0]) for error in answer["errors"]] == [
        ("10.16.0.0", "DHCP 20005")
    ]
    assert ask(pair.primary, "scopes", ScopeId=["10.16.0.0"])[0]["data"] == []


ABOUT_SCOPES = ["scopes", "statistics", "configuration"]


@pytest.mark.parametrize("section", ABOUT_SCOPES)
def test_a_scope_of_several_that_is_gone_is_said_by_every_section(section: str, pair: Pair) -> None:
    answer = ask(pair.primary, section, ScopeId=["10.99.0.0", "10.16.1.0"])[0]
    assert [error["item"] for error in answer["errors"]] == ["10.99.0.0"]
    assert [it["ScopeId"] for it in answer["data"] if "ScopeId" in it] == ["10.16.1.0"]


@pytest.mark.parametrize("section", ABOUT_SCOPES)
def test_a_slice_of_which_every_scope_is_gone_is_empty_and_no_failure(section: str, pair: Pair) -> None:
    answer = ask(pair.primary, section, ScopeId=["10.99.0.0", "10.99.1.0"])[0]
    assert [error["item"] for error in answer["errors"]] == ["10.99.0.0", "10.99.1.0"]
    assert not [it for it in answer["data"] if "ScopeId" in it]


@pytest.mark.parametrize("section", ABOUT_SCOPES)
def test_a_section_of_which_nothing_could_be_read_fails(section: str, pair: Pair) -> None:
    refused = frozenset({"Get-DhcpServerv4Scope", "Get-DhcpServerv4ScopeStatistics"})
    pair.primary.grant("LAB\\svc", Rights(denied=refused))
    answer = ask(pair.primary, section)[0]
    assert answer["error"]["category"] == "PermissionDenied"


@pytest.mark.parametrize(("outside", "expected"), [("null", None), ("zero", 0), ("error", None)])
def test_scopes_outside_failover_in_every_build(outside: str, expected: int | None, pair: Pair) -> None:
    pair.primary.oddities = Oddities(outside_failover=outside)
    answer = ask(pair.primary, "statistics")[0]
    lonely = [record for record in answer["data"] if record["ScopeId"] == "10.31.0.0"]
    assert [record["AddressesFreeOnThisServer"] for record in lonely] == [expected]
    assert lonely[0]["AddressesFree"] > 0
    assert len(answer["data"]) == 4
    assert answer["errors"] == []


def test_failover_figures_refused_to_the_account_leave_the_plain_ones(pair: Pair) -> None:
    pair.primary.fail(
        "Get-DhcpServerv4ScopeStatistics", access_denied("Get-DhcpServerv4ScopeStatistics", "x"), times=1
    )
    answer = ask(pair.primary, "statistics")[0]
    assert len(answer["data"]) == 4
    assert [error["id"] for error in answer["errors"]] == ["WIN32 5,Get-DhcpServerv4ScopeStatistics"]


def test_state_that_a_server_does_not_know_is_no_state_until_mended(pair: Pair) -> None:
    odd, plain = (relationship.name for relationship in pair.relationships)
    pair.primary.oddities.state_not_known.add(odd)
    assert states_of(pair.primary) == {odd: "NoState", plain: "Normal"}
    assert states_of(pair.secondary) == {odd: "Normal", plain: "Normal"}
    pair.primary.oddities.state_not_known.clear()
    assert states_of(pair.primary) == {odd: "Normal", plain: "Normal"}


def states_of(server: Any) -> dict[str, str]:
    return {record["Name"]: record["State"] for record in data_of(server, "relationships")}


@pytest.mark.parametrize("none", ["empty", "259", "20115", "20116"])
def test_server_without_relationships_says_so_in_every_build(none: str, clock: FakeClock) -> None:
    server = add_server(Network(clock), "alone", "10.0.0.9")
    server.oddities.no_relationship = none
    assert data_of(server, "relationships") == []
    assert data_of(server, "ports") == []


@pytest.mark.parametrize("none", ["empty", "20010"])
def test_no_option_set_is_an_empty_list_in_every_build(none: str, pair: Pair) -> None:
    server = pair.primary
    server.oddities.no_option = none
    server.server_options.clear()
    server.set_scope("10.16.0.0", options=())
    answer = ask(server, "configuration", ScopeId=["10.16.0.0", "10.16.1.0"])[0]
    of_server, without, with_options = answer["data"]
    assert (of_server["ServerOptions"], without["Options"], answer["errors"]) == ([], [], [])
    assert with_options["Options"]


def test_another_error_of_the_options_is_no_empty_list(pair: Pair) -> None:
    pair.primary.fail("Get-DhcpServerv4OptionValue", access_denied("Get-DhcpServerv4OptionValue", "x"))
    answer = ask(pair.primary, "configuration", ScopeId=["10.16.0.0"])[0]
    assert [record["Options"] for record in answer["data"]] == [None]
    assert [error["item"] for error in answer["errors"]] == ["ServerOptions", "10.16.0.0"]


def test_part_of_the_configuration_that_fails_is_null_not_empty(pair: Pair) -> None:
    refusal = access_denied("Get-DhcpServerv4Reservation", "dhcp01")
    pair.primary.fail("Get-DhcpServerv4Reservation", refusal, scope_id="10.16.0.0")
    answer = ask(pair.primary, "configuration", ScopeId=["10.16.0.0", "10.16.1.0"])[0]
    assert [record["Reservations"] and len(record["Reservations"]) for record in answer["data"][1:]] == [
        None,
        1,
    ]
    assert [error["item"] for error in answer["errors"]] == ["10.16.0.0"]


def test_more_than_a_thousand_records_come_in_parts(clock: FakeClock) -> None:
    server = add_server(Network(clock), "big", "10.0.0.9")
    unprotected(server, scopes(2001, detailed=False), Population(clients=0))
    answers = ask(server, "scopes")
    assert [(each["part"], each["parts"], len(each["data"])) for each in answers] == [
        (1, 3, 1000), (2, 3, 1000), (3, 3, 1),
    ]  # fmt: skip


def test_ports_take_four_seconds_in_all(pair: Pair, clock: FakeClock) -> None:
    pair.block_into_secondary()
    before = clock.now()
    (probe,) = data_of(pair.primary, "ports")
    assert (probe["Reachable"], probe["Error"], probe["Seconds"]) == (False, "TimedOut", 4)
    assert clock.now() - before == pytest.approx(4)


@pytest.mark.parametrize(("silently", "error"), [(True, "TimedOut"), (False, "Refused")])
def test_ports_tell_silence_from_refusal(silently: bool, error: str, pair: Pair) -> None:
    pair.block_into_secondary(silently=silently)
    assert data_of(pair.primary, "ports")[0]["Error"] == error
    assert data_of(pair.secondary, "ports")[0]["Error"] is None


def test_events_after_a_watermark_come_oldest_first_and_at_most_500(pair: Pair) -> None:
    for _ in range(600):
        pair.primary.log(pair.network.clock.now(), 20254, 4, "dhcp02", "x")
    first = data_of(pair.primary, "events", AfterEvent=0)
    assert (first["More"], len(first["Events"]), first["NewestRecordId"]) == (True, 500, 600)
    rest = data_of(pair.primary, "events", AfterEvent=first["Events"][-1]["RecordId"])
    assert (rest["More"], [event["RecordId"] for event in rest["Events"]]) == (False, list(range(501, 601)))
    assert data_of(pair.primary, "events")["Events"] == []


def test_changes_are_the_newest_fifty_of_the_configuration_oldest_first(pair: Pair, clock: FakeClock) -> None:
    for number in range(60):
        clock.sleep(1)
        pair.primary.add_reservation("10.16.0.0", Reservation("10.16.0.9", f"00-00-00-00-00-{number:02x}"))
    pair.primary.logs[OPERATIONAL].write(clock.now() + 1, 20243, 4, "not of a scope's inside")
    changes = data_of(pair.primary, "events", AfterEvent=100)["Changes"]
    assert len(changes) == 50
    assert [change["RecordId"] for change in changes] == sorted(change["RecordId"] for change in changes)
    assert {change["Id"] for change in changes} == {106}
    assert "10.16.0.0" in changes[-1]["Properties"][0]


def test_without_changes_the_list_is_empty(pair: Pair) -> None:
    pair.primary.logs[OPERATIONAL].clear()
    answer = ask(pair.primary, "events")[0]
    assert (answer["data"]["Changes"], answer["errors"]) == ([], [])


@pytest.mark.parametrize("missing", [False, True])
def test_changes_that_cannot_be_read_cost_no_event(missing: bool, pair: Pair) -> None:
    if missing:
        del pair.primary.logs[OPERATIONAL]
    else:
        pair.primary.grant("LAB\\svc", Rights(closed=frozenset({OPERATIONAL})))
    pair.secondary.stop_service()
    answer = ask(pair.primary, "events")[0]
    assert answer["data"]["Changes"] is None
    assert answer["data"]["Events"]
    assert [error["item"] for error in answer["errors"]] == ["Changes"]


def test_disabled_rule_is_found_where_the_active_store_leaves_it_out(pair: Pair) -> None:
    pair.secondary.oddities.active_store_lists_disabled = False
    pair.secondary.set_firewall_rule("Microsoft-Windows-DHCP-Failover-TCP-In", enabled=False)
    rules = {rule["Name"]: rule for rule in data_of(pair.secondary, "firewall")}
    inbound = rules["Microsoft-Windows-DHCP-Failover-TCP-In"]
    assert (inbound["Present"], inbound["Enabled"]) == (True, False)
    pair.secondary.remove_firewall_rule("Microsoft-Windows-DHCP-Failover-TCP-In")
    rules = {rule["Name"]: rule for rule in data_of(pair.secondary, "firewall")}
    assert rules["Microsoft-Windows-DHCP-Failover-TCP-In"]["Present"] is False


def listed(server: Any, **fields: Any) -> bool:
    """Whether the section shows a rule that has these fields."""
    server.add_firewall_rule(FirewallRule("Lockdown", **fields))
    return "Lockdown" in [rule["Name"] for rule in data_of(server, "firewall")]


@pytest.mark.parametrize("protocol", ["Any", "TCP"])
def test_block_rule_on_any_port_is_listed_and_closes_the_link(
    protocol: str, pair: Pair, clock: FakeClock
) -> None:
    rule = FirewallRule("Lockdown", action="Block", protocol=protocol, local_ports=("Any",))
    pair.secondary.add_firewall_rule(rule)
    *_, found = data_of(pair.secondary, "firewall")
    assert (found["Name"], found["Action"], found["Enabled"]) == ("Lockdown", "Block", True)
    clock.sleep(600)
    assert {each["State"] for each in data_of(pair.primary, "relationships")} == {"CommunicationInterrupted"}
    assert data_of(pair.primary, "ports")[0]["Error"] == "TimedOut"


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "Allow"},
        {"protocol": "UDP"},
        {"direction": "Outbound"},
        {"enabled": False},
        {"program": "C:\\Program Files\\Refused\\refused.exe"},
        {"remote_address": "192.0.2.1"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_rule_on_any_port_that_closes_nothing_is_not_listed(fields: dict[str, Any], pair: Pair) -> None:
    broad = {"action": "Block", "protocol": "Any", "local_ports": ("Any",)}
    assert not listed(pair.secondary, **{**broad, **fields})
    assert data_of(pair.primary, "ports")[0]["Error"] is None


def test_disabled_block_rule_that_names_the_port_is_listed(pair: Pair) -> None:
    assert listed(pair.secondary, action="Block", enabled=False)


def test_missing_module_is_said_by_every_section_that_needs_it(pair: Pair) -> None:
    pair.primary.oddities.has_dhcp_module = False
    answers = {document["section"]: document for document in ask(pair.primary, *SECTIONS)}
    assert answers["scopes"]["error"]["id"] == "CouldNotAutoLoadModule"
    assert answers["server"]["data"]["ServiceStatus"] == "Running"


def test_constrained_language_costs_the_ports_only(pair: Pair) -> None:
    caller = SimpleNamespace(**{**vars(CALLER), "endpoint": SimpleNamespace(language="ConstrainedLanguage")})
    run = Collector(pair.primary, sleep=lambda _: None)
    answers = [
        json.loads(each) for each in run.invoke(collector.COMMAND, {"Section": list(SECTIONS)}, caller)
    ]
    assert [each["section"] for each in answers if "error" in each] == ["ports"]
    assert answers[0]["data"]["LanguageMode"] == "ConstrainedLanguage"


def test_another_function_is_not_known(pair: Pair) -> None:
    with pytest.raises(CmdletError) as raised:
        list(Collector(pair.primary).invoke("Get-Process", {}, CALLER))
    assert raised.value.fully_qualified_error_id == "CommandNotFoundException"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (12, "12"),
        (2.970297, "2.970297"),
        (0.1 + 0.2, "0.3"),
        (3600.0, "3600"),
        (1e-9, "0"),
        (float("nan"), "null"),
        ('a"\\\n\u00e9\U0001f600', '"a\\u0022\\u005c\\u000a\\u00e9\\ud83d\\ude00"'),
        ({"a": [1, "b"]}, '{"a":[1,"b"]}'),
        ([], "[]"),
    ],
)
def test_json_is_ascii_and_culture_free(value: object, expected: str) -> None:
    assert json_text(value) == expected


def test_error_with_a_message_in_another_language_keeps_its_scope(pair: Pair) -> None:
    french = CmdletError(
        "DHCP 20005,Get-DhcpServerv4Scope",
        Category.ObjectNotFound,
        "\u00c9chec de la lecture de l'\u00e9tendue 10.16.1.0 sur le serveur DHCP 10.0.1.1.",
    )
    pair.primary.fail("Get-DhcpServerv4Scope", french, scope_id="10.16.1.0")
    (error,) = ask(pair.primary, "scopes")[0]["errors"]
    assert error["item"] == "10.16.1.0"


def test_cost_of_a_cmdlet_is_taken_and_told(pair: Pair, clock: FakeClock) -> None:
    costs: Mapping[str, Any] = {
        "Get-DhcpServerv4ScopeStatistics": SimpleNamespace(seconds=0.5, per_record_seconds=0.25)
    }
    pair.primary.costs.update(costs)
    pair.primary.oddities.first_call_seconds = 3
    assert ask(pair.primary, "statistics")[0]["elapsed"] == pytest.approx(0.5 + 4 * 0.25 + 3)
    assert ask(pair.primary, "statistics")[0]["elapsed"] == pytest.approx(0.5 + 4 * 0.25)
    assert clock.now() > FakeClock.time
