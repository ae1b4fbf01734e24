"""The dashboard *DHCP failover: fleet*: which pair is in trouble, and why, in five seconds."""

from typing import Final

from . import queries
from .grafana import (
    CLOSED_OPEN,
    FLEET,
    NONE_IS_GOOD,
    STATE_MAPPINGS,
    Column,
    Look,
    Shelf,
    choice,
    dashboard,
    datasource,
    history,
    lines,
    now,
    number,
    row,
    runbook_of_row,
    stat,
    steps,
    table,
    timeline,
    to_relationship,
    words,
)
from .queries import (
    PRIMARY,
    SECONDARY,
    SERVER,
    Pairs,
    equal,
    of_relationship,
    per_server,
    recorded,
    series,
    state_codes,
)

# How many rows a person can read at night.
MOST: Final = 20
# Of a timeline, where each has two: lower rows cannot hold a state's name.
MOST_IN_TIME: Final = 10

PAIRS: Final = Pairs('pair=~"$pair"')
# Alerts about a credential or an exporter have no pair and belong to every choice.
ALERTS_SHOWN: Final = 'pair=~"$pair|"'

VARIABLES: Final = [
    datasource(),
    choice("job", "Job", "label_values(dhcp_failover_up, job)"),
    choice("server", "Server", 'label_values(dhcp_failover_up{job=~"$job"}, server)'),
    choice(
        "pair",
        "Pair",
        f"label_values({series('relationship_info')}, pair)",
    ),
    choice(
        "relationship",
        "Relationship",
        f"label_values({series('relationship_info', PAIRS.matcher)}, relationship)",
    ),
]

OK: Final = 0
CONFLICT: Final = 'state=~"PotentialConflict|ResolutionInterrupted"'
RECOVERING: Final = 'state=~"Recover|RecoverWait|RecoverDone"'
NOT_NORMAL: Final = 'state!="Normal"'
PARTNER_DOWN: Final = PAIRS.in_state(equal("state", "PartnerDown"))
LOST_CONTACT: Final = PAIRS.in_state(equal("state", "CommunicationInterrupted"))
NOT_KNOWN: Final = PAIRS.in_state(equal("state", "NoState"))
SEEN: Final = PAIRS.links()

# The scopes of a fleet are too many to be joined anew at each look: the rules have done it already.
NEEDS_RULES: Final = "Needs alerts/dhcp-failover.rules.yml loaded."
_OWN_FREE: Final = recorded("scope_own_addresses_free", PAIRS.matcher, SERVER)
DRY: Final = PAIRS.watched(f"count by (server, pair, relationship) ({_OWN_FREE} == 0)")


def _least_free(server_type: str) -> str:
    return PAIRS.watched(f"min by (server, pair, relationship) ({_OWN_FREE})", server_type)


def _drift(record: str) -> str:
    return f"{recorded(record, PAIRS.matcher)} and on (pair, relationship) {PAIRS.links()}"


PURPLE: Final = "semi-dark-purple"

# Drift is not among them: it harms nobody tonight, and has a column of its own.
# Worst first: (rank, words, colour, PromQL whose series are the relationships it is true of).
TROUBLES: Final = (
    (100, "conflict: leases in dispute", "dark-red", PAIRS.in_state(CONFLICT)),
    (90, "both partners in PartnerDown", "dark-red", f"count by (pair, relationship) ({PARTNER_DOWN}) == 2"),
    (80, "no answer from either", PURPLE, f"{PAIRS.silent()} unless on (pair, relationship) {SEEN}"),
    (70, "partner declared down", "red", PARTNER_DOWN),
    (65, "state not known", "semi-dark-orange", NOT_KNOWN),
    (60, "partners lost contact", "orange", LOST_CONTACT),
    (58, "gone from a server", "orange", PAIRS.gone()),
    (55, "no answer from one", PURPLE, PAIRS.silent()),
    (50, "recovering: one is silent", "blue", PAIRS.in_state(RECOVERING)),
    (45, "in transition", "light-blue", PAIRS.in_state(NOT_NORMAL)),
    (40, "TCP 647 closed", "orange", PAIRS.ports(" == 0")),
    (30, "clocks apart", "orange", f"{SEEN} and on (pair) ({PAIRS.clock_difference()}) > 30"),
    (20, "own pool dry in a scope", "yellow", DRY),
)


def _worst_trouble() -> str:
    """`or` keeps the first answer for a relationship, so the order decides."""
    ranks = [f"{rank} * group by (pair, relationship) ({expr})" for rank, _, _, expr in TROUBLES]
    return " or ".join([*ranks, f"0 * group by (pair, relationship) ({PAIRS.links()})"])


TROUBLE_MAPPINGS: Final = [
    words({OK: ("ok", "green")} | {rank: (text, color) for rank, text, color, _ in TROUBLES})
]

STATE: Final = Look(mappings=STATE_MAPPINGS)
SECONDS_APART: Final = steps("green", (30, "orange"), (60, "red"))
USAGE: Final = Look("percentunit", steps("green", (0.8, "orange"), (0.95, "red")), decimals=0)
LASTS: Final = Look(
    "s", steps("red", (3600, "orange"), (86400, "green")), decimals=0, no_value="not shrinking"
)
FREE: Final = Look("short", steps("red", (1, "orange"), (10, "green")), decimals=0)


def _named(expr: str, label: str) -> str:
    """The server under the heading of its role, so that both partners fit in one row."""
    return f'max by (pair, relationship, {label}) (label_join({expr}, "{label}", "", "server"))'


def _by_relationship(how: str, expr: str) -> str:
    return f"{how} by (pair, relationship) ({expr})"


def _alerts_by_relationship() -> str:
    firing = queries.alerts('pair=~"$pair"', "pair")
    return f"group by (pair, relationship) ({PAIRS.links()}) * on (pair) group_left () {firing}"


def _difference_by_relationship() -> str:
    difference = PAIRS.clock_difference()
    return f"group by (pair, relationship) ({PAIRS.links()}) * on (pair) group_left () ({difference})"


WORST_FIRST = table(
    "Relationships, worst first",
    "One row per failover relationship, both partners side by side, the worst trouble in words. "
    "A server that gives no fresh answer has no state here; its relationship stays listed for an hour. "
    f"Click a pair to see why. {NEEDS_RULES}",
    now(_worst_trouble()),
    now(_named(PAIRS.state_code(PRIMARY), "primary")),
    now(_named(PAIRS.state_code(SECONDARY), "secondary")),
    now(_by_relationship("min", PAIRS.seconds_in_state())),
    now(_by_relationship("min", PAIRS.ports())),
    now(_by_relationship("min", _least_free(PRIMARY))),
    now(_by_relationship("min", _least_free(SECONDARY))),
    now(_difference_by_relationship()),
    now(_by_relationship("sum", _drift("drift"))),
    now(_alerts_by_relationship()),
    columns=[
        Column("Value #A", "Trouble", Look(mappings=TROUBLE_MAPPINGS), colored=True, width=230),
        Column("pair", "Pair", link=to_relationship("Pair", "Relationship")),
        Column("relationship", "Relationship"),
        Column("primary", "Primary"),
        Column("Value #B", "State of primary", STATE, colored=True, width=190),
        Column("secondary", "Secondary"),
        Column("Value #C", "State of secondary", STATE, colored=True, width=190),
        Column("Value #D", "Last change", Look("s", decimals=0), width=100),
        Column("Value #E", "TCP 647", Look(mappings=[CLOSED_OPEN]), colored=True, width=80),
        Column("Value #F", "Least free, primary", FREE, width=90),
        Column("Value #G", "Least free, secondary", FREE, width=90),
        Column("Value #H", "Clocks apart", Look("s", SECONDS_APART, decimals=1), width=90),
        Column("Value #I", "Drift", Look("short", steps("text", (1, "yellow"))), width=60),
        Column("Value #J", "Alerts", Look("short", NONE_IS_GOOD), width=60),
    ],
    sort=("Trouble", True),
)


def _count(expr: str) -> str:
    """How many, 0 where there are none: an empty vector is no news, a zero is."""
    return f"count({expr}) or vector(0)"


COUNTS = [
    stat(
        "Relationships watched",
        "Failover relationships of which at least one server gives a fresh answer.",
        number(_count(f"group by (pair, relationship) ({PAIRS.links()})")),
        look=Look("short", steps("red", (1, "text"))),
    ),
    stat(
        "Not Normal",
        "Relationships of which at least one partner is in another state than Normal.",
        number(_count(f"group by (pair, relationship) ({PAIRS.in_state(NOT_NORMAL)})")),
        look=Look("short", NONE_IS_GOOD),
    ),
    stat(
        "Servers without answer",
        "Configured servers that do not answer over WinRM. That says nothing about DHCP on them.",
        number(_count(f"{per_server(series('up'))} == 0")),
        look=Look("short", NONE_IS_GOOD),
    ),
    stat(
        "Partners unreachable",
        "Relationships whose primary server cannot connect to TCP 647 of the secondary.",
        number(_count(f"group by (pair, relationship) ({PAIRS.ports(' == 0')})")),
        look=Look("short", NONE_IS_GOOD),
    ),
    stat(
        "Own pools dry",
        "Scopes in which a server has no free address of its own left: outside Normal it refuses new "
        f"clients. {NEEDS_RULES}",
        number(f"sum({DRY}) or vector(0)"),
        look=Look("short", NONE_IS_GOOD),
    ),
    stat(
        "Largest clock difference",
        "Between partners. Beyond 60 s the receiver rejects binding updates while the state stays Normal.",
        number(f"max({PAIRS.clock_difference()})"),
        look=Look("s", SECONDS_APART, decimals=1),
    ),
    stat(
        "Scopes that differ",
        "Scopes whose configuration is not the same on both partners: only leases replicate by themselves. "
        f"{NEEDS_RULES}",
        number(_count(f"group by (pair, relationship, scope) ({_drift('scope_drift')})")),
        look=Look("short", steps("green", (1, "yellow"))),
    ),
    stat(
        "Alerts firing",
        "Alerts of the rules in alerts/, including those about an exporter or a credential.",
        number(f"sum({queries.alerts(ALERTS_SHOWN, 'alertname')}) or vector(0)"),
        look=Look("short", NONE_IS_GOOD),
    ),
]


def _fresh(matcher: str) -> str:
    return recorded("state:fresh", PAIRS.matcher, SERVER, matcher)


def _most_troubled() -> str:
    """The relationships that were most often seen outside Normal in the range; the same for each moment.

    A relationship that was always Normal counts 0, so that the panel is full in quiet times too.
    """
    normal, away = (
        f"count_over_time({_fresh(matcher)}[$__range] @ end())"
        for matcher in (equal("state", "Normal"), NOT_NORMAL)
    )
    seen = f"sum by (server, pair, relationship) ({away} or 0 * {normal})"
    watched = f"last_over_time({PAIRS.info()}[$__range] @ end())"
    return f"topk({MOST_IN_TIME}, {_by_relationship('max', seen)} and on (pair, relationship) {watched})"


STATES_OVER_TIME = timeline(
    f"States over time, the {MOST_IN_TIME} least Normal",
    "Each partner's state as that server sees it, two rows per relationship. A gap is a server that gave "
    f"no fresh answer. States shorter than a step hide: zoom in. {NEEDS_RULES}",
    history(
        f"max by (server, pair, relationship) ({state_codes(_fresh)}) "
        f"and on (pair, relationship) {_most_troubled()}",
        "{{relationship}}, {{server}}",
    ),
    look=STATE,
)

FIRING = table(
    "Alerts firing",
    "Alerts of the rules in alerts/. Each one leads to its runbook.",
    now(queries.alerts(ALERTS_SHOWN, "alertname", "severity", "pair", "relationship", "server")),
    columns=[
        Column("severity", "Severity", width=80),
        Column(
            "alertname",
            "Alert",
            link=runbook_of_row("Alert"),
        ),
        Column("pair", "Pair", link=to_relationship("Pair")),
        Column("relationship", "Relationship"),
        Column("server", "Server"),
    ],
    sort=("Severity", False),
    no_value="",
)

UNREACHABLE = table(
    "Partners unreachable on TCP 647",
    "Connects that fail, from the primary server to the secondary: only that direction carries failover.",
    now(PAIRS.ports(" == 0")),
    columns=[
        Column("server", "From (primary)"),
        Column("partner", "To (secondary)"),
        Column("relationship", "Relationship"),
        Column("pair", "Pair", link=to_relationship("Pair", "Relationship")),
        Column("Value #A", "TCP 647", Look(mappings=[CLOSED_OPEN]), colored=True, width=80),
    ],
)

_EMPTIEST: Final = (
    f"bottomk({MOST}, {PAIRS.watched(f'max by (server, pair, relationship, scope) ({_OWN_FREE})')})"
)
_USED: Final = per_server(of_relationship("scope_usage_ratio"), "relationship", "scope")
_PACE: Final = recorded("scope_addresses_taken:deriv1h", PAIRS.matcher)

POOLS = table(
    f"Pools nearly dry, the {MOST} emptiest",
    "Free addresses that a server may lease by itself, how full the whole scope is, and how long the own "
    f"addresses last at the pace of the last hour if the partner no longer helps. {NEEDS_RULES}",
    now(_EMPTIEST),
    now(PAIRS.with_pair(f"({_USED} and on (server, relationship, scope) {_EMPTIEST})")),
    now(f"{_EMPTIEST} / on (pair, relationship, scope) group_left () {_PACE}"),
    columns=[
        Column("server", "Server"),
        Column("scope", "Scope"),
        Column("relationship", "Relationship"),
        Column("pair", "Pair", link=to_relationship("Pair", "Relationship")),
        Column("Value #A", "Own free", FREE, colored=True, width=90),
        Column("Value #B", "Scope in use", USAGE, width=100),
        Column("Value #C", "Own lasts", LASTS, width=100),
    ],
    sort=("Own free", False),
)


def _most_apart() -> str:
    """The pairs whose clocks are furthest apart at the end; the same ones for each moment."""
    return f"topk({MOST}, {PAIRS.clock_difference(' @ end()')})"


CLOCKS = lines(
    f"Clock differences between partners, the {MOST} largest",
    "Beyond 60 s the receiver rejects binding updates while the state stays Normal. Measured through the "
    "exporter's clock.",
    history(f"({PAIRS.clock_difference()}) and on (pair) {_most_apart()}", "{{pair}}"),
    look=Look("s", SECONDS_APART, minimum=0),
    # 6 h at 216 s a step: less than the 5 min that each offset counts, and clocks drift slowly.
    points=100,
)

DRIFT = table(
    "Configuration that differs",
    "Scopes whose configuration is not the same on both partners, by part. Only a replication by hand "
    f"mends it: mind its direction. {NEEDS_RULES}",
    now(f"max by (pair, relationship, part) ({_drift('drift')})"),
    columns=[
        Column("pair", "Pair", link=to_relationship("Pair", "Relationship")),
        Column("relationship", "Relationship"),
        Column("part", "Part"),
        Column("Value #A", "Scopes", Look("short"), width=80),
    ],
    sort=("Scopes", True),
)

DASHBOARD = dashboard(
    FLEET,
    "DHCP failover: fleet",
    "Every failover relationship, worst first: both partners' states, port 647, pools, clocks, drift, "
    "alerts.",
    VARIABLES,
    [
        Shelf(4, COUNTS),
        Shelf(12, [WORST_FIRST]),
        Shelf(1, [row("States")]),
        Shelf(13, [STATES_OVER_TIME, FIRING], widths=(15, 9)),
        Shelf(1, [row("Why")]),
        Shelf(9, [POOLS, UNREACHABLE], widths=(14, 10)),
        Shelf(9, [CLOCKS, DRIFT], widths=(14, 10)),
    ],
)
