"""Fingerprints: equal under every spelling and order, different under every change that replication carries."""

import copy
import functools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhcp_failover_exporter.drift import Difference, differences, fingerprint, normal_form, parts
from dhcp_failover_exporter.snapshot import ScopeConfiguration

Item = dict[str, Any]
Whole = dict[str, Any]

# ---------------------------------------------------------------- configurations, each thing said in one way
#
# In this form two configurations are the same exactly when they are equal, whatever the code under test thinks:
# octets are pairs of small digits, words of enumerations and names of classes are in lower case, values of a criterion are
# sets by operator, and what is not set is missing.

OCTETS: Final = st.binary(min_size=1, max_size=8).map(lambda octets: octets.hex())
TEXTS: Final = st.one_of(st.text(min_size=1, max_size=12), st.sampled_from(["0xFile", "a/b", "/", "A", "a"]))
OPERATORS: Final = ("eq", "ne")
CLASSES: Final = st.one_of(
    st.sampled_from(["a", "b", "a/b", "a/", "a%2fb", "straße", "strasse", "fi", "ﬁ", *OPERATORS]),
    st.text("abc/- 01", min_size=1, max_size=4),
)
ADDRESSES: Final = st.ip_addresses(v=4).map(str)
COUNTS: Final = st.integers(1, 2**32 - 1)
SET: Final = st.just(value=True)
VALUES: Final = st.one_of(ADDRESSES, TEXTS, OCTETS.map(lambda octets: f"0x{octets}"), COUNTS.map(str))
WILDCARDS: Final = st.tuples(OCTETS, st.sampled_from(["", "*"])).map("".join)


def criteria(values: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, frozenset[str]]]:
    values_of = st.frozensets(values, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"eq": values_of}, optional={"ne": values_of}),
        st.fixed_dictionaries({"ne": values_of}),
    )


# Fields by part: those that name an item come first, and stay; of the others each may be missing.
NAMES: Final[Mapping[str, Mapping[str, st.SearchStrategy[Any]]]] = {
    "scope": {},
    "options": {"OptionId": st.sampled_from([6, 43, 254])},
    "reservations": {"IPAddress": ADDRESSES},
    "exclusions": {"StartRange": ADDRESSES, "EndRange": ADDRESSES},
    "policies": {"Name": TEXTS},
}
FIELDS: Final[Mapping[str, Mapping[str, st.SearchStrategy[Any]]]] = {
    "scope": {
        "Name": TEXTS,
        "Description": TEXTS,
        "SubnetMask": ADDRESSES,
        "StartRange": ADDRESSES,
        "EndRange": ADDRESSES,
        "State": st.sampled_from(["active", "inactive"]),
        "Type": st.sampled_from(["dhcp", "bootp", "both"]),
        "LeaseDuration": COUNTS,
        "ActivatePolicies": SET,
        "Delay": COUNTS,
        "NapEnable": SET,
        "NapProfile": TEXTS,
        "MaxBootpClients": COUNTS,
    },
    "options": {
        "Value": st.lists(VALUES, min_size=1, max_size=3),
        "VendorClass": CLASSES,
        "UserClass": CLASSES,
        "PolicyName": TEXTS,
    },
    "reservations": {
        "ClientId": OCTETS,
        "Name": TEXTS,
        "Description": TEXTS,
        "Type": st.sampled_from(["dhcp", "bootp", "both"]),
    },
    "exclusions": {},
    "policies": {
        "Description": TEXTS,
        "Enabled": SET,
        "ProcessingOrder": COUNTS,
        "Condition": st.sampled_from(["and", "or"]),
        "VendorClass": criteria(CLASSES),
        "UserClass": criteria(CLASSES),
        "MacAddress": criteria(WILDCARDS),
        "ClientId": criteria(WILDCARDS),
        "RelayAgent": criteria(WILDCARDS),
        "CircuitId": criteria(WILDCARDS),
        "RemoteId": criteria(WILDCARDS),
        "SubscriberId": criteria(WILDCARDS),
        "Fqdn": criteria(CLASSES),
        "Ranges": st.frozensets(st.tuples(ADDRESSES, ADDRESSES), min_size=1, max_size=3),
    },
}
# Names of an item beside NAMES: two values of one option differ in class or policy.
_OF_OPTIONS: Final = ("OptionId", "VendorClass", "UserClass", "PolicyName")


def named(part: str, item: Item) -> tuple[Any, ...]:
    return tuple(item.get(name) for name in (_OF_OPTIONS if part == "options" else NAMES[part]))


def items(part: str) -> st.SearchStrategy[Item]:
    return st.fixed_dictionaries(dict(NAMES[part]), optional=dict(FIELDS[part]))


def fields_of(part: str) -> Mapping[str, st.SearchStrategy[Any]]:
    """Every field, with None for "not set" where it may be."""
    return {**NAMES[part], **{field: st.none() | values for field, values in FIELDS[part].items()}}


def values_of(part: str) -> st.SearchStrategy[Any]:
    """What Windows may say of one part: the scope's own properties, or items that it would let stand together."""
    if part == "scope":
        return items(part)
    return st.lists(items(part), max_size=3, unique_by=functools.partial(named, part))


def wholes() -> st.SearchStrategy[Whole]:
    return st.fixed_dictionaries({part: values_of(part) for part in NAMES})


def said(part: str, value: Any) -> Any:
    """Without the order of items, which says nothing."""
    return value if part == "scope" else {named(part, item): item for item in value}


# ---------------------------------------------------------------- the same configuration, as Windows may say it


def any_case(text: str, random_: random.Random) -> str:
    """Letter by letter, as Windows compares: a letter without a single capital keeps its form."""
    return "".join(
        random_.choice([letter, up if len(up := letter.upper()) == 1 else letter]) for letter in text
    )


def spelled_octets(octets: str, random_: random.Random) -> str:
    digits, wildcard = octets.rstrip("*"), "*" * octets.endswith("*")
    pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    between = random_.choice(["", "-", ":"])
    return any_case(between.join(pairs), random_) + random_.choice(["", between]) * bool(wildcard) + wildcard


def spelled_value(value: str, random_: random.Random) -> str:
    """Octets in any case; a text is what it is, even one that starts like octets."""
    return f"0x{any_case(value[2:], random_)}" if re.fullmatch("0x[0-9a-f]+", value) else value


def spelled_criteria(
    groups: Mapping[str, frozenset[str]], spelled: Callable[[str, random.Random], str], random_: random.Random
) -> list[str]:
    """`EQ, a, b, NE, c` in any order, an operator once for all of its values or again before some of them.

    A value that is called like an operator needs one before it.
    """
    found: list[str] = []
    for operator in random_.sample(sorted(groups), len(groups)):
        values = random_.sample(sorted(groups[operator]), len(groups[operator]))
        for number, value in enumerate(values):
            if number == 0 or value in OPERATORS or random_.random() < 0.2:
                found.append(any_case(operator, random_))
            found.append(spelled(value, random_))
    return found


def spelled_field(field: str, value: Any, random_: random.Random) -> Any:
    if isinstance(value, dict):
        classes = field in {"VendorClass", "UserClass", "Fqdn"}
        return spelled_criteria(value, any_case if classes else spelled_octets, random_)
    if field == "Ranges":
        return [
            {"StartRange": start, "EndRange": end} for start, end in random_.sample(sorted(value), len(value))
        ]
    if field == "Value":
        return [spelled_value(word, random_) for word in value]
    if field == "ClientId":
        return spelled_octets(value, random_)
    if field in {"State", "Type", "Condition", "VendorClass", "UserClass"}:
        return any_case(value, random_)
    return float(value) if type(value) is int and random_.random() < 0.5 else value


# What a build may add to a part, and what says nothing about replication.
NOISE: Final[Mapping[str, Sequence[str]]] = {
    "scope": ["ScopeId", "SuperscopeName"],
    "options": ["ScopeId", "Name", "Type"],
    "reservations": ["ScopeId", "AddressState"],
    "exclusions": ["ScopeId"],
    "policies": ["ScopeId"],
}


def spelled_item(part: str, item: Item, random_: random.Random) -> Item:
    unset = [field for field in FIELDS[part] if field not in item and random_.random() < 0.5]
    fields = (
        [(field, spelled_field(field, value, random_)) for field, value in item.items()]
        + [(field, random_.choice([None, "", [], 0, False])) for field in unset]
        + [(field, random_.choice([None, "10.0.0.0", "other"])) for field in NOISE[part]]
    )
    return dict(random_.sample(fields, len(fields)))


def spelled(part: str, value: Any, random_: random.Random) -> Any:
    if part == "scope":
        return spelled_item(part, value, random_)
    return tuple(spelled_item(part, item, random_) for item in random_.sample(value, len(value)))


def spelled_configuration(whole: Whole, seed: int) -> ScopeConfiguration:
    random_ = random.Random(seed)  # noqa: S311 - chooses a spelling, no secret
    return ScopeConfiguration("10.0.0.0", **{part: spelled(part, it, random_) for part, it in whole.items()})


SEEDS: Final = st.integers(0, 2**32)


@pytest.mark.parametrize("part", NAMES)
@given(st.data(), SEEDS, SEEDS)
def test_order_and_spelling_change_nothing(part: str, data: st.DataObject, one: int, other: int) -> None:
    whole = {part: data.draw(values_of(part))}
    ours, theirs = spelled_configuration(whole, one), spelled_configuration(whole, other)
    assert fingerprints(ours) == fingerprints(theirs)
    assert list(differences(ours, theirs)) == []


@pytest.mark.parametrize("part", ["options", "reservations", "exclusions", "policies"])
@given(st.data(), SEEDS)
def test_every_item_has_a_key_of_its_own(part: str, data: st.DataObject, seed: int) -> None:
    some = data.draw(values_of(part))
    assert len(parts(spelled_configuration({part: some}, seed))[part]) == len(some)


# ---------------------------------------------------------------- every single change that replication carries


def shown(before: Whole, after: Whole, seeds: tuple[int, int]) -> tuple[set[str], set[str]]:
    """In which parts two configurations differ: by fingerprint, and by what a person reads."""
    ours, theirs = spelled_configuration(before, seeds[0]), spelled_configuration(after, seeds[1])
    of_ours, of_theirs = fingerprints(ours), fingerprints(theirs)
    differ = {part for part in of_ours if of_ours[part] != of_theirs[part]}
    return differ, {found.part for found in differences(ours, theirs)}


def reported(part: str) -> str:
    return "properties" if part == "scope" else part


@pytest.mark.parametrize(("part", "field"), [(part, field) for part in FIELDS for field in fields_of(part)])
@settings(max_examples=30)
@given(st.data(), st.tuples(SEEDS, SEEDS))
def test_every_change_of_one_field_shows(
    part: str, field: str, data: st.DataObject, seeds: tuple[int, int]
) -> None:
    """Set, set otherwise, or no longer set."""
    item = data.draw(items(part))
    value = data.draw(fields_of(part)[field].filter(lambda value: value != item.get(field)))
    others = {key: it for key, it in item.items() if key != field}
    changed = others if value is None else others | {field: value}
    before, after = ({part: item if part == "scope" else [item]} for item in (item, changed))
    assert shown(before, after, seeds) == ({reported(part)}, {reported(part)})


@pytest.mark.parametrize(
    ("part", "one", "other"),
    [
        ("options", {"OptionId": 67, "Value": ["0xFile"]}, {"OptionId": 67, "Value": ["0xfile"]}),
        ("options", {"OptionId": 6, "UserClass": "ab-cd"}, {"OptionId": 6, "UserClass": "abcd"}),
        ("options", {"OptionId": 6, "UserClass": "straße"}, {"OptionId": 6, "UserClass": "strasse"}),
        ("policies", {"Name": "p", "Fqdn": {"eq": {"ab-cd"}}}, {"Name": "p", "Fqdn": {"eq": {"abcd"}}}),
        ("policies", {"Name": "p", "UserClass": {"eq": {"ne"}}}, {"Name": "p"}),
        (
            "policies",
            {"Name": "p", "UserClass": {"eq": {"ne", "x"}}},
            {"Name": "p", "UserClass": {"ne": {"x"}}},
        ),
        (
            "policies",
            {"Name": "p", "MacAddress": {"eq": {"ab"}}},
            {"Name": "p", "MacAddress": {"eq": {"ab*"}}},
        ),
        ("reservations", {"IPAddress": "10.0.0.9", "Name": "A"}, {"IPAddress": "10.0.0.9", "Name": "a"}),
    ],
)
@given(seeds=st.tuples(SEEDS, SEEDS))
def test_what_only_looks_alike_differs(part: str, one: Item, other: Item, seeds: tuple[int, int]) -> None:
    assert shown({part: [one]}, {part: [other]}, seeds) == ({part}, {part})


@pytest.mark.parametrize("part", ["options", "reservations", "exclusions", "policies"])
@given(st.data(), st.tuples(SEEDS, SEEDS))
def test_every_item_more_or_less_shows(part: str, data: st.DataObject, seeds: tuple[int, int]) -> None:
    some = data.draw(values_of(part).filter(bool))
    fewer = data.draw(st.integers(1, len(some)).map(lambda at: [*some[: at - 1], *some[at:]]))
    assert shown({part: some}, {part: fewer}, seeds) == ({part}, {part})
    assert shown({part: fewer}, {part: some}, seeds) == ({part}, {part})


@pytest.mark.parametrize("part", NAMES)
@settings(max_examples=20)
@given(wholes(), st.data(), st.tuples(SEEDS, SEEDS))
def test_a_change_shows_in_its_part_alone(
    part: str, whole: Whole, data: st.DataObject, seeds: tuple[int, int]
) -> None:
    changed = data.draw(values_of(part).filter(lambda value: said(part, value) != said(part, whole[part])))
    assert shown(whole, whole | {part: changed}, seeds) == ({reported(part)}, {reported(part)})


# ---------------------------------------------------------------- one thing each, on one configuration

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


def test_what_is_no_text_costs_nothing_else() -> None:
    assert list(normal_form("options", [{"OptionId": 6, "VendorClass": 7}])) == ["6/7"]


def test_of_two_options_with_one_number_each_has_its_own_key() -> None:
    assert list(normal_form("options", OPTIONS)) == ["6", "6///phones", "43/cisco ap"]
