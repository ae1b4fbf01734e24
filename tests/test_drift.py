"""Fingerprints: equal under every spelling and order, different under every change that replication carries."""

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.drift import Difference, differences, fingerprint, normal_form, parts
from dhcp_failover_exporter.snapshot import ScopeConfiguration

SCOPE = {
    "ScopeId": "10.0.0.0",
    "Name": "lab",
    "Description": None,
    "SubnetMask": "255.255.255.0",
    "StartRange": "10.0.0.10",
    "EndRange": "10.0.0.250",
    "SuperscopeName": None,
    "State": "Active",
    "Type": "Dhcp",
    "LeaseDuration": 691200,
    "ActivatePolicies": True,
    "Delay": 0,
}
OPTIONS: tuple[dict[str, object], ...] = (
    {
        "OptionId": 6,
        "Name": "DNS Servers",
        "Type": "IPv4Address",
        "Value": ["10.0.0.2", "10.0.0.3"],
        "PolicyName": "",
    },
    {"OptionId": 6, "Value": ["10.0.0.4"], "PolicyName": "phones"},
    {"OptionId": 43, "Value": ["0x0A", "0xff"], "VendorClass": "Cisco AP", "UserClass": None},
)
RESERVATIONS: tuple[dict[str, object], ...] = (
    {
        "ScopeId": "10.0.0.0",
        "IPAddress": "10.0.0.99",
        "ClientId": "aa-bb-cc-dd-ee-ff",
        "Name": "test",
        "Description": "A1",
        "Type": "Both",
        "AddressState": "ActiveReservation",
    },
    {
        "IPAddress": "10.0.0.100",
        "ClientId": "00-15-5d-a7-66-02",
        "Name": None,
        "Type": "Both",
        "Description": None,
    },
)
EXCLUSIONS = [
    {"ScopeId": "10.0.0.0", "StartRange": "10.0.0.10", "EndRange": "10.0.0.19"},
    {"ScopeId": "10.0.0.0", "StartRange": "10.0.0.30", "EndRange": "10.0.0.30"},
]
POLICIES = [
    {
        "Name": "phones",
        "ProcessingOrder": 1,
        "Enabled": True,
        "Condition": "Or",
        "MacAddress": ["EQ", "00155DA7*", "00155DA8*", "NE", "00155DA76602"],
        "Ranges": [
            {"StartRange": "10.0.0.40", "EndRange": "10.0.0.49"},
            {"StartRange": "10.0.0.60", "EndRange": "10.0.0.69"},
        ],
        "VendorClass": [],
    },
    {
        "Name": "guests",
        "ProcessingOrder": 2,
        "Enabled": False,
        "Condition": "And",
        "UserClass": ["EQ", "guest"],
    },
]
WHOLE: dict[str, Any] = {
    "scope": SCOPE,
    "options": OPTIONS,
    "reservations": RESERVATIONS,
    "exclusions": EXCLUSIONS,
    "policies": POLICIES,
}


def configuration(**changed: Any) -> ScopeConfiguration:
    return ScopeConfiguration("10.0.0.0", **(copy.deepcopy(WHOLE) | changed))


def fingerprints(of: ScopeConfiguration) -> dict[str, int]:
    return {part: fingerprint(normal) for part, normal in parts(of).items()}


REFERENCE = fingerprints(configuration())


def test_all_parts_have_a_fingerprint_of_48_bits() -> None:
    assert list(REFERENCE) == ["properties", "options", "reservations", "exclusions", "policies"]
    assert all(float(value) == value < 2**48 for value in REFERENCE.values())


def test_the_scheme_is_not_changed_by_accident() -> None:
    """Whoever changes this number changes `SCHEME`, or exporters of two versions report drift that is none."""
    assert (
        fingerprint(normal_form("reservations", RESERVATIONS)) == REFERENCE["reservations"] == 142441378733257
    )


def test_an_empty_part_differs_from_an_uncollected_one() -> None:
    found = fingerprints(ScopeConfiguration("10.0.0.0", reservations=()))
    assert found == {"reservations": fingerprint({})}


def respelled(value: Any, random_: random.Random) -> Any:
    """The same configuration as another build may say it."""
    if isinstance(value, dict):
        items = [(key, _field(key, item, random_)) for key, item in value.items()]
        random_.shuffle(items)
        return dict(items)
    return value


def _field(key: str, value: Any, random_: random.Random) -> Any:
    choices: dict[str, Any] = {
        "ClientId": lambda it: random_.choice([it.upper(), it.replace("-", ""), it.replace("-", ":")]),
        "State": lambda it: random_.choice([it, it.lower(), "ACTIVE"]),
        "Condition": lambda it: it.upper(),
        "AddressState": lambda _: random_.choice(["InactiveReservation", None]),
        "LeaseDuration": float,
        "Name": lambda it: it,
        "MacAddress": lambda it: [
            "NE",
            "00-15-5d-a7-66-02",
            "EQ",
            *reversed([word.lower() for word in it[1:3]]),
        ],
        "Ranges": lambda it: random_.sample(it, len(it)),
    }
    if not value:
        return random_.choice([None, "", [], 0, False])
    if key == "Value" and value[0].startswith("0x"):
        return [random_.choice([word.upper().replace("0X", "0x"), word.lower()]) for word in value]
    return choices.get(key, lambda it: it)(value)


@given(st.randoms(use_true_random=False))
def test_order_and_spelling_change_nothing(random_: random.Random) -> None:
    other: dict[str, Any] = {
        part: respelled(value, random_)
        if isinstance(value, dict)
        else tuple(respelled(item, random_) for item in random_.sample(value, len(value)))
        for part, value in WHOLE.items()
    }
    same = configuration(**other)
    assert fingerprints(same) == REFERENCE
    assert list(differences(configuration(), same)) == []


IGNORED = {"ScopeId", "SuperscopeName", "AddressState"}
IGNORED_OF_OPTIONS = IGNORED | {"Name", "Type"}
CHANGES = [
    (part, number, field)
    for part, value in WHOLE.items()
    for number, item in enumerate([value] if isinstance(value, dict) else value)
    for field in item
    if field not in (IGNORED_OF_OPTIONS if part == "options" else IGNORED)
]


@pytest.mark.parametrize(("part", "number", "field"), CHANGES)
def test_every_change_of_one_field_shows_in_its_part_alone(part: str, number: int, field: str) -> None:
    changed = copy.deepcopy(WHOLE)
    item = changed[part] if isinstance(changed[part], dict) else changed[part][number]
    item[field] = (
        [*(item[field] or []), "EQ", "other"] if isinstance(item[field], list) else f"{item[field]}1"
    )
    found = fingerprints(configuration(**changed))
    name = "properties" if part == "scope" else part
    assert {key for key in REFERENCE if found[key] != REFERENCE[key]} == {name}
    assert {found.part for found in differences(configuration(), configuration(**changed))} == {name}


@pytest.mark.parametrize("part", ["options", "reservations", "exclusions", "policies"])
def test_every_item_more_or_less_shows(part: str) -> None:
    for number in range(len(WHOLE[part])):
        fewer = configuration(**{part: (*WHOLE[part][:number], *WHOLE[part][number + 1 :])})
        assert fingerprints(fewer)[part] != REFERENCE[part]
        (difference,) = differences(configuration(), fewer)
        assert (difference.part, difference.field, difference.theirs) == (part, None, None)


def test_the_order_of_an_options_values_matters() -> None:
    other = [OPTIONS[0] | {"Value": ["10.0.0.3", "10.0.0.2"]}, *OPTIONS[1:]]
    assert fingerprints(configuration(options=other))["options"] != REFERENCE["options"]


def test_the_operator_a_value_belongs_to_matters() -> None:
    swapped = {"Name": "p", "MacAddress": ["EQ", "b", "NE", "a"]}
    straight = {"Name": "p", "MacAddress": ["EQ", "a", "NE", "b"]}
    assert normal_form("policies", [swapped]) != normal_form("policies", [straight])


def test_a_difference_names_item_and_field() -> None:
    theirs = configuration(reservations=[RESERVATIONS[0] | {"Name": "printer"}, RESERVATIONS[1]])
    assert list(differences(configuration(), theirs)) == [
        Difference("reservations", "10.0.0.99", "Name", "test", "printer")
    ]


def test_parts_that_one_side_did_not_collect_are_not_compared() -> None:
    assert list(differences(configuration(), ScopeConfiguration("10.0.0.0", options=OPTIONS))) == []


def test_of_two_options_with_one_number_each_has_its_own_key() -> None:
    assert list(normal_form("options", OPTIONS)) == ["6", "6///phones", "43/cisco ap"]
