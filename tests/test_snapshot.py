"""Contract documents to records: tolerant of the unknown, strict about shapes, one bad record costs itself."""

import json
import time
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.errors import ContractError, DeadlineError
from dhcp_failover_exporter.snapshot import (
    SECTIONS,
    Counters,
    Event,
    Events,
    PortProbe,
    Relationship,
    Scope,
    ScopeConfiguration,
    ScopeStatistics,
    Section,
    SectionError,
    Server,
    ServerOptions,
    documents,
    merge,
    parse,
)

Kind = TypeVar("Kind")

DOCUMENTS = sorted((Path(__file__).parent / "data").glob("*.json"))

RELATIONSHIP = {
    "Name": "a-b",
    "PartnerServer": "b",
    "State": "Normal",
    "Mode": "LoadBalance",
    "ScopeId": ["10.0.0.0"],
    "MaxClientLeadTime": 3600,
    "StateSwitchInterval": None,
}


def document(section: str, data: Any = None, **rest: Any) -> str:
    body = {"contract": 1, "section": section, "part": 1, "parts": 1, "elapsed": 0.5}
    return json.dumps(body | ({} if "error" in rest else {"data": data}) | rest)


def read(section: str, data: Any = None, **rest: Any) -> Section:
    return parse([document(section, data, **rest)], [section])[section]


def only(kind: type[Kind], section: Section) -> Kind:
    (record,) = section.records
    assert isinstance(record, kind)
    return record


def failure(section: Section) -> SectionError:
    assert section.failure
    return section.failure


class TestRecords:
    def test_a_relationship_is_read_under_its_windows_names(self) -> None:
        (relationship,) = read("relationships", [RELATIONSHIP | {"PrimaryServerIP": "10.0.0.1"}]).records
        assert relationship == Relationship(
            name="a-b",
            partner_server="b",
            state="Normal",
            mode="LoadBalance",
            scope_id=("10.0.0.0",),
            max_client_lead_time=3600,
            primary_server_ip="10.0.0.1",
        )

    def test_an_unknown_field_and_an_unknown_state_are_no_mistake(self) -> None:
        section = read("relationships", [RELATIONSHIP | {"State": "Hibernating", "Mood": {"deep": [1]}}])
        assert only(Relationship, section).state == "Hibernating"
        assert section.reason is None

    def test_a_single_object_is_a_list_of_one(self) -> None:
        single = RELATIONSHIP | {"ScopeId": "10.0.0.0"}
        assert read("relationships", single).records == read("relationships", [RELATIONSHIP]).records

    def test_an_empty_list_is_a_real_zero(self) -> None:
        section = read("relationships", [])
        assert (section.records, section.failure, section.reason) == ((), None, None)

    @pytest.mark.parametrize("missing", [None, "", "absent"])
    def test_what_is_not_set_is_none(self, missing: str | None) -> None:
        raw = {key: value for key, value in RELATIONSHIP.items() if key != "Mode"}
        if missing != "absent":
            raw["Mode"] = missing
        assert only(Relationship, read("relationships", [raw])).mode is None

    @pytest.mark.parametrize("unlimited", [-1, 4294967295, 922337203685.4775, None])
    def test_an_unlimited_lease_is_none(self, unlimited: float | None) -> None:
        (scope,) = read("scopes", [{"ScopeId": "10.0.0.0", "LeaseDuration": unlimited}]).records
        assert scope == Scope(scope_id="10.0.0.0")

    def test_a_count_of_minus_one_is_not_known(self) -> None:
        raw = {"ScopeId": "10.0.0.0", "AddressesFree": -1, "AddressesInUse": 0}
        assert read("statistics", [raw]).records == (ScopeStatistics("10.0.0.0", addresses_in_use=0),)

    def test_times_are_epoch_seconds_of_utc(self) -> None:
        section = read("server", {"UtcNow": "2026-01-15T12:00:00.1234567Z"})
        assert only(Server, section).utc_now == pytest.approx(1768478400.123456)

    def test_a_time_without_a_zone_is_utc_wherever_the_exporter_runs(
        self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        request.addfinalizer(time.tzset)
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert only(Server, read("server", {"UtcNow": "2026-01-15T12:00:00"})).utc_now == 1768478400

    def test_half_a_surrogate_pair_is_replaced_and_a_whole_one_kept(self) -> None:
        raw = '{"contract":1,"section":"scopes","elapsed":0,"data":[{"ScopeId":"10.0.0.0","Name":"%s"}]}'
        names = [
            only(Scope, parse([raw % name], ["scopes"])["scopes"]).name
            for name in (r"a\ud83d", r"\ud83d\ude00")
        ]
        assert names == ["a\N{REPLACEMENT CHARACTER}", "\N{GRINNING FACE}"]

    def test_ports(self) -> None:
        (probe,) = read(
            "ports", {"PartnerServer": "b", "Port": 647, "Reachable": False, "Error": "Refused"}
        ).records
        assert probe == PortProbe("b", False, port=647, error="Refused")

    def test_configuration_keeps_what_windows_says_and_knows_what_was_not_collected(self) -> None:
        options = {"OptionId": 6, "Value": ["10.0.0.1"]}
        section = read(
            "configuration",
            [{"ServerOptions": [options]}, {"ScopeId": "10.0.0.0", "Options": [options], "Policies": []}],
        )
        assert section.records == (
            ServerOptions((options,)),
            ScopeConfiguration("10.0.0.0", options=(options,), policies=()),
        )

    def test_a_bad_event_costs_itself_only(self) -> None:
        event = {"RecordId": 7, "Id": 20253, "Properties": ["b", "a-b", 75]}
        section = read("events", {"NewestRecordId": 8, "Events": [event, {"RecordId": "x", "Id": 1}, event]})
        assert [found.properties for found in only(Events, section).events] == [("b", "a-b", "75")] * 2
        assert section.errors[0].message == "data[0].Events[1].RecordId: expected a number, got 'x'"

    @pytest.mark.parametrize("absent", [{}, {"Changes": None}, {"Changes": ""}])
    def test_changes_that_were_not_collected_are_not_an_empty_log(self, absent: dict[str, Any]) -> None:
        events = only(Events, read("events", {"Events": None, **absent}))
        assert (events.events, events.changes) == ((), None)

    def test_changes_are_read_like_events(self) -> None:
        change = {"RecordId": 9, "Id": 106, "TimeCreated": None, "Properties": ["10.0.0.0"]}
        events = only(Events, read("events", {"Events": [], "Changes": change}))
        assert events.changes == (Event(9, 106, ("10.0.0.0",)),)
        assert only(Events, read("events", {"Changes": []})).changes == ()


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"State": 3}, "data[1].State: expected text, got 3"),
            ({"State": None}, "data[1].State: expected text, got None"),
            ({"ScopeId": None}, "data[1].ScopeId: expected a list, got None"),
            ({"ScopeId": [None]}, "data[1].ScopeId[0]: expected an IPv4 address, got None"),
            (
                {"ScopeId": ["10.0.0.0", "System.Object[]"]},
                "data[1].ScopeId[1]: expected an IPv4 address, got 'System.Object[]'",
            ),
            (
                {"MaxClientLeadTime": "01:00:00"},
                "data[1].MaxClientLeadTime: expected a number, got '01:00:00'",
            ),
            ({"MaxClientLeadTime": True}, "data[1].MaxClientLeadTime: expected a number, got True"),
            ({"EnableAuth": 1}, "data[1].EnableAuth: expected true or false, got 1"),
            ({"ReservePercent": 10**400}, "data[1].ReservePercent: expected a number, got 1000"),
        ],
    )
    def test_a_wrong_shape_costs_its_own_record_and_says_where(self, change: Any, message: str) -> None:
        section = read("relationships", [RELATIONSHIP, RELATIONSHIP | {"Name": "bad"} | change])
        assert only(Relationship, section).name == "a-b"
        (error,) = section.errors
        assert error.item == "bad"
        assert error.message.startswith(message)
        assert section.reason == "contract"

    def test_a_record_that_is_no_object(self) -> None:
        section = read("scopes", [{"ScopeId": "10.0.0.0"}, "10.1.0.0", None])
        assert [error.message for error in section.errors] == [
            "data[1]: expected an object, got '10.1.0.0'",
            "data[2]: expected an object, got None",
        ]

    @pytest.mark.parametrize("data", [None, "", "[]", 5, True])
    def test_data_of_the_wrong_shape_fails_its_section_and_no_other(self, data: Any) -> None:
        sections = parse(
            [document("scopes", data), document("relationships", [])], ["scopes", "relationships"]
        )
        assert sections["scopes"].reason == "contract"
        assert failure(sections["scopes"]).message.startswith("data: expected a list or an object")
        assert sections["relationships"].reason is None

    @pytest.mark.parametrize("data", [[], [{}, {}]])
    def test_a_section_of_one_object_has_exactly_one(self, data: Any) -> None:
        assert failure(read("counters", data)).reason == "contract"

    def test_the_one_object_of_the_wrong_shape_fails_its_section_with_the_path(self) -> None:
        section = read("counters", {"Acks": "many"})
        assert failure(section).message == "data[0].Acks: expected a number, got 'many'"


class TestErrors:
    @pytest.mark.parametrize(
        ("identity", "category", "reason"),
        [
            ("WIN32 5,Get-DhcpServerv4Scope", "PermissionDenied", "permission"),
            ("WIN32 5,Get-DhcpServerv4Failover", "NotSpecified", "permission"),
            ("Whatever,Get-DhcpServerv4Scope", "PermissionDenied", "permission"),
            ("WIN32 1722,Get-DhcpServerv4Failover", "NotSpecified", "dhcp"),
            ("WIN32 1753,Get-DhcpServerv4Failover", "NotSpecified", "dhcp"),
            ("UnknownSection", "InvalidArgument", "contract"),
            ("", "OperationTimeout", "timeout"),
            ("DHCP 20010,Get-DhcpServerv4OptionValue", "ObjectNotFound", "other"),
            ("WIN32 50,Get-DhcpServerv4Scope", "NotSpecified", "other"),
            ("System.UnauthorizedAccessException,X.GetWinEventCommand", "NotSpecified", "permission"),
        ],
    )
    def test_the_reason_comes_from_code_and_category(self, identity: str, category: str, reason: str) -> None:
        error = {"id": identity, "category": category, "message": "5 1722 Access denied"}
        section = read("scopes", error=error)
        assert (section.reason, section.records) == (reason, ())

    def test_an_incomplete_section_keeps_its_records_and_names_the_weightiest_reason(self) -> None:
        other = {"item": "10.1.0.0", "id": "DHCP 1,X", "category": "NotSpecified", "message": None}
        denied = {"item": "10.2.0.0", "id": "WIN32 5,X", "category": "PermissionDenied", "message": "no"}
        section = read("statistics", [{"ScopeId": "10.0.0.0"}], errors=[other, denied])
        assert len(section.records) == 1
        assert section.errors[0] == SectionError("10.1.0.0", "DHCP 1,X", "NotSpecified", "")
        assert section.reason == "permission"

    def test_a_scope_deleted_meanwhile_is_no_failure(self) -> None:
        gone = {"item": "10.1.0.0", "id": "DHCP 20005,X", "category": "ObjectNotFound", "message": ""}
        assert read("statistics", [], errors=gone).reason is None

    def test_the_service_status_is_for_administrators_only(self) -> None:
        refused = {"item": "ServiceStatus", "id": "X,Y", "category": "PermissionDenied", "message": ""}
        assert read("server", {}, errors=[refused]).reason is None
        assert read("server", {}, errors=[refused | {"item": "OSVersion"}]).reason == "permission"

    @pytest.mark.parametrize("error", ["System.UnauthorizedAccessException,X", "NoMatchingLogsFound,X"])
    def test_changes_only_bring_an_audit_forward(self, error: str) -> None:
        missing = {"item": "Changes", "id": error, "category": "NotSpecified", "message": ""}
        assert read("events", {"Events": []}, errors=[missing]).reason is None

    def test_an_error_of_the_wrong_shape_is_still_an_error(self) -> None:
        assert read("scopes", error="broken").reason == "contract"
        assert failure(read("scopes", error={"id": 5, "message": ["a"]})).id == "5"

    def test_a_call_without_a_usable_answer_is_a_failed_section(self) -> None:
        assert Section.failed("scopes", DeadlineError("10 s")).reason == "timeout"
        assert Section.failed("scopes", ContractError("?")).reason == "contract"


class TestDocuments:
    def test_parts_are_joined_in_their_order(self) -> None:
        parts = [
            document("scopes", [{"ScopeId": f"10.{part}.0.0"}], part=part, parts=3, elapsed=part / 10)
            for part in (3, 1, 2)
        ]
        section = parse(parts, ["scopes"])["scopes"]
        assert section.records == tuple(Scope(f"10.{part}.0.0") for part in (1, 2, 3))
        assert section.elapsed_seconds == 0.3

    @pytest.mark.parametrize(
        "parts",
        [[(1, 2)], [(2, 2)], [(1, 2), (1, 2)], [(1, 2), (2, 3)], [(1, 1), (1, 1)], [(1, 2), (2, 2), (3, 2)]],
    )
    def test_parts_that_do_not_add_up_are_refused(self, parts: list[tuple[int, int]]) -> None:
        documents = [document("scopes", [], part=part, parts=total) for part, total in parts]
        with pytest.raises(ContractError, match="section scopes: parts do not add up"):
            parse(documents, ["scopes"])

    def test_a_part_that_could_not_be_read_fails_its_section(self) -> None:
        first = document("scopes", [{"ScopeId": "10.0.0.0"}], part=1, parts=2)
        second = document("scopes", part=2, parts=2, error={"id": "WIN32 5,X", "category": "", "message": ""})
        section = parse([first, second], ["scopes"])["scopes"]
        assert (section.records, section.reason) == ((), "permission")

    def test_every_asked_section_must_be_answered(self) -> None:
        with pytest.raises(ContractError, match="no answer for section relationships, scopes"):
            parse([document("server", {})], ["server", "relationships", "scopes"])

    def test_no_document_at_all_is_no_empty_answer(self) -> None:
        with pytest.raises(ContractError):
            parse([], ["relationships"])

    def test_what_was_not_asked_for_is_left_out(self) -> None:
        assert list(parse([document("scopes", []), document("mood", [])], ["scopes"])) == ["scopes"]

    @pytest.mark.parametrize("contract", [0, 2, "1", None])
    def test_another_contract_is_refused(self, contract: Any) -> None:
        with pytest.raises(ContractError, match=r"document 1: contract .*, this exporter reads 1"):
            read("scopes", [], contract=contract)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "document 1: no JSON"),
            ("null", "document 1: expected an object, got None"),
            ("[]", "document 1: expected an object"),
            ('{"contract":1,"section":"scopes","elapsed":NaN,"data":[]}', "NaN is no JSON number"),
            ("[" * 100_000, "document 1: no JSON"),
            ('{"contract":1,"section":5,"data":[]}', "document 1: section: expected text, got 5"),
            (
                '{"contract":1,"section":"scopes","part":0,"data":[]}',
                "document 1: part: expected a whole number from 1",
            ),
            ('{"contract":1,"section":"scopes","elapsed":"fast","data":[]}', "elapsed: expected a number"),
            ('{"contract":1,"section":"scopes","elapsed":1e999,"data":[]}', "elapsed: expected a number"),
            ('{"contract":1,"section":"scopes","utc":"today","data":[]}', "utc: expected a time in ISO 8601"),
        ],
    )
    def test_a_document_that_cannot_be_read_says_why(self, text: str, message: str) -> None:
        with pytest.raises(ContractError, match=f".*{message}"):
            parse([text], ["scopes"])

    def test_the_last_document_says_when_it_was_written(self) -> None:
        documents = [
            document("scopes", [], part=part, parts=2, utc=f"2026-01-15T12:00:0{part}Z") for part in (1, 2)
        ]
        assert parse(documents, ["scopes"])["scopes"].written == 1768478402


class TestMerge:
    def test_slices_become_one_section(self) -> None:
        first = Section("scopes", (Scope("10.0.0.0"),), elapsed_seconds=1.5, written=1.0)
        second = Section("scopes", (Scope("10.1.0.0"),), elapsed_seconds=0.5, written=9.0)
        merged = merge([first, second])
        assert merged == Section(
            "scopes", (*first.records, *second.records), elapsed_seconds=2.0, written=9.0
        )

    def test_a_failed_slice_fails_the_section(self) -> None:
        failed = Section.failed("scopes", DeadlineError("late"))
        merged = merge([Section("scopes", (Scope("10.0.0.0"),)), failed])
        assert (merged.records, merged.reason) == ((), "timeout")

    def test_a_scope_that_was_read_twice_counts_as_it_was_read_last(self) -> None:
        first, second, other = (
            ScopeConfiguration(scope, scope={"Name": name})
            for scope, name in (("10.0.0.0", "old"), ("10.0.0.0", "new"), ("10.1.0.0", "old"))
        )
        merged = merge([Section("configuration", (first, other)), Section("configuration", (second,))])
        assert merged.records == (second, other)

    def test_a_section_without_some_scopes_says_nothing_about_them(self) -> None:
        gone, kept = SectionError("10.0.0.0", "", "", ""), SectionError("10.1.0.0", "", "", "")
        records = (ServerOptions(()), ScopeConfiguration("10.0.0.0"), ScopeConfiguration("10.1.0.0"))
        section = Section("configuration", records, (gone, kept)).without(["10.0.0.0"])
        assert section == Section("configuration", (records[0], records[2]), (kept,))

    def test_the_server_options_of_every_slice_count_once(self) -> None:
        slices = [
            Section(
                "configuration",
                (ServerOptions(({"OptionId": number},)), ScopeConfiguration(f"10.{number}.0.0")),
            )
            for number in (1, 2)
        ]
        records = merge(slices).records
        assert [record for record in records if isinstance(record, ServerOptions)] == [
            ServerOptions(({"OptionId": 2},))
        ]
        assert len(records) == 3


class TestAwkwardInput:
    """Each recorded document whole, cut off, with a field more, with a field less."""

    @pytest.fixture(params=DOCUMENTS, ids=lambda path: path.stem)
    def recorded(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(request.param.read_text())
        return document

    def test_whole(self, recorded: dict[str, Any]) -> None:
        section = parse([json.dumps(recorded)], [recorded["section"]])[recorded["section"]]
        assert (section.failure is not None) == ("error" in recorded)
        assert not [error for error in section.errors if error.category == "contract"]

    def test_cut_off_anywhere(self, recorded: dict[str, Any]) -> None:
        text = json.dumps(recorded)
        for length in range(0, len(text), 7):
            with pytest.raises(ContractError):
                parse([text[:length]], [recorded["section"]])

    def test_with_an_unknown_field(self, recorded: dict[str, Any]) -> None:
        known = parse([json.dumps(recorded)], [recorded["section"]])
        more = recorded | {"Unknown": 1}
        if isinstance(more.get("data"), list):
            more["data"] = [record | {"Unknown": [None]} for record in more["data"]]
        assert parse([json.dumps(more)], [recorded["section"]]) == known

    def test_with_any_field_missing(self, recorded: dict[str, Any]) -> None:
        records = recorded.get("data", [])
        for name in records[0] if isinstance(records, list) and records else ():
            lacking = [{key: value for key, value in records[0].items() if key != name}, *records[1:]]
            section = parse([json.dumps(recorded | {"data": lacking})], [recorded["section"]])[
                recorded["section"]
            ]
            assert len(section.records) + len(section.errors) == len(records)


def test_every_section_has_records() -> None:
    assert tuple(documents._KINDS) == SECTIONS


def test_counters_of_a_server_without_the_performance_class_are_not_zero() -> None:
    (counters,) = read("counters", {"Acks": 5, "BndUpdSent": None}).records
    assert counters == Counters(acks=5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
NAMES = [name for kind in (Relationship, Scope, PortProbe) for _, name, _ in documents._table(kind)]


@given(
    section=st.sampled_from(SECTIONS[1:]),
    data=st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5) | JSON, max_size=4) | JSON,
)
def test_whatever_the_data_are_they_cost_a_section_at_most(section: str, data: Any) -> None:
    found = parse([document(section, data), document("server", {})], [section, "server"])
    assert section in found
    if isinstance(data, list) and section not in documents._ONE_OBJECT:
        assert len(found[section].records) + len(found[section].errors) >= len(data)
