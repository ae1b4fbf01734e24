"""The dashboard *DHCP failover: relationship*: one pair, and what happens now if the partner dies."""

from typing import Final

from . import queries
from .grafana import (
    CLOSED_OPEN,
    NONE_IS_GOOD,
    RELATIONSHIP,
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
    runbook,
    runbook_of_row,
    stat,
    steps,
    table,
    text,
    timeline,
    without_value,
    words,
)
from .queries import (
    PRIMARY,
    SECONDARY,
    Pairs,
    equal,
    increase,
    of_relationship,
    per_server,
    rate,
    series,
)

PAIR: Final = Pairs('pair="$pair"')

VARIABLES: Final = [
    datasource(),
    choice("job", "Job", "label_values(dhcp_failover_up, job)"),
    # One pair: that is what this dashboard is about. All its servers are two names, not a pattern: of a large
    # fleet Prometheus then reads two servers' scopes.
    choice("pair", "Pair", 'label_values(dhcp_failover_relationship_info{job=~"$job"}, pair)', several=False),
    choice(
        "server",
        "Server",
        'label_values(dhcp_failover_relationship_info{job=~"$job",pair="$pair"}, server)',
        all_value=None,
    ),
    choice(
        "relationship",
        "Relationship",
        'label_values(dhcp_failover_relationship_info{job=~"$job",pair="$pair"}, relationship)',
        all_value=None,
    ),
]

STATE: Final = Look(mappings=STATE_MAPPINGS)
DURATION: Final = Look("s", decimals=0)
ADDRESSES: Final = Look("short", decimals=0, minimum=0)
PER_SECOND: Final = Look("ops", minimum=0)
COUNT: Final = Look("short", minimum=0)
FREE: Final = Look("short", steps("red", (1, "orange"), (10, "green")), decimals=0)
LASTS: Final = Look(
    "s", steps("red", (3600, "orange"), (86400, "green")), decimals=0, no_value="not shrinking"
)
BY_SERVER: Final = "{{relationship}}, {{server}}"


# --- the head ---------------------------------------------------------------------------------------------

STATES_NOW = stat(
    "State, as each partner sees it",
    "Both partners should say Normal. A partner that is missing here gives no fresh answer.",
    number(PAIR.state_code(), BY_SERVER),
    look=Look(mappings=STATE_MAPPINGS, no_value="no answer"),
    names=True,
)
PORT = stat(
    "TCP 647, primary to secondary",
    "Whether the primary server can connect to the secondary: only that direction carries failover.",
    number(f"min by (server, partner) ({PAIR.ports()})", "{{server}} to {{partner}}"),
    look=Look(mappings=[CLOSED_OPEN], no_value="not known"),
)
CLOCK = stat(
    "Clocks apart",
    "Beyond 60 s the receiver rejects binding updates while the state stays Normal.",
    number(PAIR.clock_difference()),
    look=Look("s", steps("green", (30, "orange"), (60, "red")), decimals=1, no_value="not known"),
)
DRIFTED = stat(
    "Scopes that differ",
    "Scopes whose configuration is not the same on both partners.",
    number(f"count(group by (relationship, scope) ({PAIR.drift()})) or vector(0)"),
    look=Look("short", steps("green", (1, "yellow"))),
)
FIRING = table(
    "Alerts firing",
    "Alerts about this pair. Each one leads to its runbook.",
    now(queries.alerts('pair="$pair"', "alertname", "severity", "relationship", "server")),
    columns=[
        Column("severity", "Severity", width=75),
        Column("alertname", "Alert", link=runbook_of_row("Alert")),
        Column("relationship", "Relationship"),
        Column("server", "Server"),
    ],
    sort=("Severity", False),
    no_value="",
)

STATE_HISTORY = timeline(
    "State history",
    "Each partner's state as that server sees it; a gap is a server that gave no fresh answer. "
    "States shorter than a step hide: zoom in.",
    history(PAIR.state_code(), BY_SERVER),
    look=STATE,
)


# --- if the partner died now ------------------------------------------------------------------------------


def _countdown(family: str, state: str) -> str:
    """Seconds until a duration of the relationship has passed in that state, never below 0."""
    whole = per_server(of_relationship(family), "relationship")
    since = of_relationship("state_last_change_timestamp_seconds")
    passed = per_server(f"time() - {since}", "relationship")
    here = of_relationship("state", equal("state", state))
    left = f"clamp_min({whole} - on (server, relationship) {passed}, 0)"
    return PAIR.with_pair(f"({left} and on (server, relationship) {here} == 1)")


def _must_last() -> str:
    """From the partner's death until the whole pool may be used: the switch interval, then one MCLT."""
    switch = per_server(of_relationship("state_switch_interval_seconds"), "relationship")
    mclt = per_server(of_relationship("max_client_lead_time_seconds"), "relationship")
    return f"({switch} + on (server, relationship) {mclt})"


def _lasts() -> str:
    """Of the scope that is gone first."""
    return f"min by (server, relationship) ({PAIR.own_free_lasts()})"


IF_PARTNER_DIED = table(
    "If the partner died now",
    "What each server has, standing alone. Until PartnerDown plus one MCLT it leases only its own free "
    "addresses to new clients. Lasts: until the first scope has no own address left, at the pace of the "
    "last hour. Must last: the switch interval plus MCLT; without an interval somebody has to declare the "
    "partner down. Each countdown runs in the state that it belongs to.",
    now(PAIR.state_code()),
    now(PAIR.seconds_in_state()),
    now(PAIR.with_pair(f"sum by (server, relationship) ({PAIR.own_free()})")),
    now(PAIR.dry()),
    now(PAIR.with_pair(_lasts())),
    now(PAIR.with_pair(_must_last())),
    now(PAIR.with_pair(f"({_lasts()} > bool on (server, relationship) {_must_last()})")),
    now(_countdown("state_switch_interval_seconds", "CommunicationInterrupted")),
    now(_countdown("max_client_lead_time_seconds", "PartnerDown")),
    now(_countdown("max_client_lead_time_seconds", "RecoverWait")),
    columns=[
        Column("relationship", "Relationship"),
        Column("server", "Server"),
        Column("Value #A", "State", STATE, colored=True, width=190),
        Column("Value #B", "Since", DURATION, width=90),
        Column("Value #C", "Own free addresses", ADDRESSES, width=130),
        Column("Value #D", "Dry scopes", Look("short", NONE_IS_GOOD, no_value="none"), width=85),
        Column("Value #E", "Lasts", Look("s", decimals=0, no_value="not shrinking"), width=110),
        Column("Value #F", "Must last", Look("s", decimals=0, no_value="until declared"), width=110),
        Column(
            "Value #G",
            "Enough",
            Look(mappings=[words({0: ("no", "red"), 1: ("yes", "green")})]),
            colored=True,
            width=75,
        ),
        Column("Value #H", "PartnerDown in", DURATION, width=110),
        Column("Value #I", "Whole pool in", DURATION, width=110),
        Column("Value #J", "Answers again in", DURATION, width=120),
    ],
    sort=("Server", False),
)


# --- parameters -------------------------------------------------------------------------------------------

LOAD_BALANCE: Final = "LoadBalancePercent (ratio)"

# Words of Get-DhcpServerv4Failover, and the values that show each.
PARAMETERS: Final = {
    "MaxClientLeadTime (s)": of_relationship("max_client_lead_time_seconds"),
    "StateSwitchInterval (s)": of_relationship("state_switch_interval_seconds"),
    "AutoStateTransition (1 on)": of_relationship("auto_state_transition_enabled"),
    "EnableAuth (1 on)": of_relationship("message_authentication_enabled"),
    LOAD_BALANCE: of_relationship("load_balance_ratio"),
    "ReservePercent (ratio)": of_relationship("reserve_ratio"),
    "ScopeId (scopes)": of_relationship("relationship_scopes"),
    "Mode (1 LoadBalance, 2 HotStandby)": (
        f"{PAIR.info(equal('mode', 'LoadBalance'))} or 2 * {PAIR.info(equal('mode', 'HotStandby'))}"
    ),
}


def _named(parameter: str, expr: str) -> str:
    return f'label_replace({expr}, "parameter", "{parameter}", "", "")'


def _parameters_of(server_type: str) -> str:
    values = (
        _named(parameter, f"max by (relationship) ({PAIR.joined(expr, where=(server_type,))})")
        for parameter, expr in PARAMETERS.items()
    )
    return " or ".join(values)


def _differs(parameter: str, expr: str) -> str:
    """0 alike, 1 not, 2 set on one side, by relationship; nothing while only one partner gives news.

    Whether a secondary reads x or 100 - x as its share is not documented: both count as equal.
    """
    values = PAIR.joined(expr)
    largest, smallest = (f"{how} by (relationship) ({values})" for how in ("max", "min"))
    both = f"count by (relationship) ({values}) == 2"
    one_side = f"count by (relationship) ({values}) == 1"
    heard = f"count by (relationship) ({PAIR.links()}) == 2"
    shares = f" * (abs({largest} + {smallest} - 1) > bool 0.005)" if parameter == LOAD_BALANCE else ""
    compared = f"(({largest} != bool {smallest}){shares} and on (relationship) {both})"
    return f"({compared} or 2 * (({one_side}) and on (relationship) {heard}))"


PARAMETERS_TABLE = table(
    "Parameters side by side",
    "What both partners must have alike, as Get-DhcpServerv4Failover says it on each. Empty: not set, or "
    "not of this mode. A load balance of x and 100 - x counts as the same. Of a partner that gives no "
    "fresh answer nothing is known.",
    now(_parameters_of(PRIMARY)),
    now(_parameters_of(SECONDARY)),
    now(" or ".join(_named(parameter, _differs(parameter, expr)) for parameter, expr in PARAMETERS.items())),
    columns=[
        Column("relationship", "Relationship"),
        Column("parameter", "Parameter", width=260),
        Column("Value #A", "Primary", Look("none"), width=100),
        Column("Value #B", "Secondary", Look("none"), width=100),
        Column(
            "Value #C",
            "Compared",
            Look(
                mappings=[
                    words({0: ("same", "green"), 1: ("differs", "orange"), 2: ("set on one side", "orange")}),
                    without_value("partner silent", "semi-dark-purple"),
                ]
            ),
            colored=True,
            width=120,
        ),
    ],
    sort=("Compared", True),
)


# --- port 647, clocks -------------------------------------------------------------------------------------

PORTS_HISTORY = timeline(
    "TCP 647, both directions",
    "Connects between the partners. Only primary to secondary carries failover; the other direction is "
    "information.",
    history(PAIR.between("partner_reachable"), "{{server_type}}: {{server}} to {{partner}}"),
    look=Look(mappings=[CLOSED_OPEN]),
)
CONNECT = lines(
    "TCP 647, time to connect",
    "How long a connect between the partners took; absent while the port is closed.",
    history(PAIR.between("partner_connect_seconds"), "{{server_type}}: {{server}} to {{partner}}"),
    look=Look("s", minimum=0),
)
CLOCKS = lines(
    "Clocks against the exporter's",
    "Each partner's clock minus the exporter's. What counts is how far the partners are apart: 60 s at most.",
    history(PAIR.clocks(), "{{server}}"),
    look=Look("s"),
)


# --- addresses --------------------------------------------------------------------------------------------


def _summed(family: str) -> str:
    values = per_server(of_relationship(family), "relationship", "scope")
    return PAIR.with_pair(f"sum by (server, relationship) ({values})")


def _by_scope(expr: str, *where: str) -> str:
    """One partner's values, or with no `where` the larger of both, by (relationship, scope)."""
    return f"max by (relationship, scope) ({PAIR.joined(expr, 'scope', where=where)})"


FREE_HISTORY = lines(
    "Own free addresses",
    "Addresses that each server may lease by itself, over all scopes of the relationship.",
    history(_summed("scope_addresses_free_on_this_server"), BY_SERVER),
    look=ADDRESSES,
)
USED_HISTORY = lines(
    "Addresses in use by server",
    "Addresses leased or renewed by each server, over all scopes of the relationship.",
    history(_summed("scope_addresses_in_use_on_this_server"), BY_SERVER),
    look=ADDRESSES,
)

_FREE: Final = of_relationship("scope_addresses_free_on_this_server")
_USED: Final = of_relationship("scope_addresses_in_use_on_this_server")
_NAMES: Final = PAIR.joined(of_relationship("scope_info"), "scope", "name", where=(PRIMARY,))

SCOPES = table(
    "Scopes",
    "Free and used addresses of each partner, how full the whole scope is, how long each partner's own "
    "addresses last at the pace of the last hour, and how many parts of its configuration differ.",
    now(_by_scope(_FREE, PRIMARY)),
    now(_by_scope(_FREE, SECONDARY)),
    now(_by_scope(_USED, PRIMARY)),
    now(_by_scope(_USED, SECONDARY)),
    now(_by_scope(of_relationship("scope_usage_ratio"))),
    now(_by_scope(PAIR.own_free_lasts(), PRIMARY)),
    now(_by_scope(PAIR.own_free_lasts(), SECONDARY)),
    now(f"count by (relationship, scope) ({PAIR.drift()})"),
    now(f"max by (relationship, scope, name) ({_NAMES})"),
    columns=[
        Column("relationship", "Relationship"),
        Column("scope", "Scope", width=120),
        Column("name", "Name"),
        Column(
            "Value #E",
            "In use",
            Look("percentunit", steps("text", (0.8, "orange"), (0.95, "red")), decimals=0),
        ),
        Column("Value #A", "Free, primary", FREE, colored=True),
        Column("Value #B", "Free, secondary", FREE, colored=True),
        Column("Value #C", "Used by primary", ADDRESSES),
        Column("Value #D", "Used by secondary", ADDRESSES),
        Column("Value #F", "Primary lasts", LASTS),
        Column("Value #G", "Secondary lasts", LASTS),
        Column("Value #H", "Parts that differ", Look("short", steps("text", (1, "yellow")))),
    ],
    sort=("In use", True),
)
DRIFT = table(
    "Drift by scope",
    "What is not the same on both partners. Replication copies the whole scope from the server where it is "
    "started: mind its direction.",
    now(PAIR.drift()),
    columns=[
        Column("relationship", "Relationship"),
        Column("scope", "Scope"),
        Column("part", "Part that differs"),
    ],
    sort=("Scope", False),
)


# --- traffic ----------------------------------------------------------------------------------------------


def _per_server(expr: str, *labels: str) -> str:
    return PAIR.servers(expr, *labels)


UPDATES = lines(
    "Binding updates and acks",
    "What the partners tell each other about leases. Of a server with several partners: of all of them "
    "together. Updates sent without acks received mean that the partner does not take them.",
    history(
        _per_server(rate(series("binding_updates_total")), "direction"), "{{server}} updates {{direction}}"
    ),
    history(_per_server(rate(series("binding_acks_total")), "direction"), "{{server}} acks {{direction}}"),
    look=PER_SECOND,
)
PENDING = lines(
    "Binding updates waiting and lost",
    "Updates in the outbound queue, and updates dropped because it was full.",
    history(_per_server(series("binding_updates_pending")), "{{server}} waiting"),
    history(_per_server(increase(series("binding_updates_dropped_total"))), "{{server}} dropped"),
    look=COUNT,
)
MESSAGES = lines(
    "DHCP messages",
    "What each server hears from clients and answers. Requests without acks: it hears them and stays silent.",
    history(_per_server(rate(series("messages_total")), "message"), "{{server}} {{message}}"),
    look=PER_SECOND,
)
_EVENTS: Final = PAIR.joined(increase(of_relationship("events_total")), "event")
EVENTS = lines(
    "Failover events",
    "Events that the servers logged about the relationships chosen above, by kind, per step; kinds that "
    "never came are left out.",
    history(f"sum by (event) ({_EVENTS}) > 0", "{{event}}"),
    look=COUNT,
)
TRANSITIONS = lines(
    "Transitions",
    "How often each server went into a state, as the server itself counts; of all its relationships "
    "together.",
    history(_per_server(increase(series("transitions_total")), "state"), "{{server}} {{state}}"),
    look=COUNT,
)


# --- what to do -------------------------------------------------------------------------------------------

# State: (what clients get, the alert whose runbook says what to do).
MEANINGS: Final = {
    "Normal": ("answered, by mode", None),
    "CommunicationInterrupted": (
        "answered by both; new clients from each server's own pool only",
        "DhcpFailoverCommunicationInterrupted",
    ),
    "PartnerDown": (
        "answered; the whole pool after one MCLT. Dangerous if the partner lives",
        "DhcpFailoverPartnerDown",
    ),
    "PotentialConflict": ("**not answered**", "DhcpFailoverPotentialConflict"),
    "ResolutionInterrupted": ("answered from the own pool", "DhcpFailoverResolutionInterrupted"),
    "ConflictDone": ("answered; passes by itself", "DhcpFailoverTransientStateStuck"),
    "Recover": ("not answered before the update ends, minutes", "DhcpFailoverRecoverStuck"),
    "RecoverWait": (
        "**not answered** by this server for one MCLT, by design",
        "DhcpFailoverRecoverWaitStuck",
    ),
    "RecoverDone": ("renewals only; passes by itself", "DhcpFailoverRecoverDoneStuck"),
    "Startup": ("not answered, seconds", "DhcpFailoverTransientStateStuck"),
    "Init": ("not documented; passes by itself", "DhcpFailoverTransientStateStuck"),
    "NoState": ("not known", "DhcpFailoverNoState"),
}


def _meanings() -> str:
    rows = [
        f"| {state} | {clients} | {f'[{alert}]({runbook(alert)})' if alert else ''} |"
        for state, (clients, alert) in MEANINGS.items()
    ]
    return "\n".join(["| State | Clients | Runbook |", "|---|---|---|", *rows])


WHAT_TO_DO = text(
    "What the states mean",
    "What clients get in each state of the server that they ask, and where to read on.",
    _meanings(),
)

DASHBOARD = dashboard(
    RELATIONSHIP,
    "DHCP failover: relationship",
    "One pair: both partners' states and parameters, addresses by scope, and what happens if a partner "
    "dies now.",
    VARIABLES,
    [
        Shelf(7, [STATES_NOW, PORT, CLOCK, DRIFTED, FIRING], widths=(8, 3, 3, 3, 7)),
        Shelf(7, [STATE_HISTORY]),
        Shelf(7, [IF_PARTNER_DIED]),
        Shelf(1, [row("Between the partners")]),
        Shelf(9, [PARAMETERS_TABLE, WHAT_TO_DO]),
        Shelf(8, [PORTS_HISTORY, CONNECT, CLOCKS]),
        Shelf(8, [UPDATES, PENDING, EVENTS]),
        Shelf(1, [row("Addresses")]),
        Shelf(8, [FREE_HISTORY, USED_HISTORY]),
        Shelf(12, [SCOPES, DRIFT], widths=(17, 7)),
        Shelf(1, [row("Traffic")]),
        Shelf(8, [MESSAGES, TRANSITIONS]),
    ],
)
