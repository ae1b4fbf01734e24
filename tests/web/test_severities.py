"""The page and the alert rules weigh alike: what the rules' file says is what `advice` says."""

from pathlib import Path

import pytest
import yaml

from dhcp_failover_exporter.failover import STATES
from dhcp_failover_exporter.web import advice
from dhcp_failover_exporter.web.advice import Advice

RULES = Path(__file__).parents[2] / "alerts" / "dhcp-failover.rules.yml"
_OTHER_POLLS = [
    meant for reason, meant in advice.POLL_FAILURES.items() if reason not in ("auth", "suspended")
]

WEIGHED_BY: dict[str, list[Advice]] = {
    "CredentialRefused": [advice.POLL_FAILURES["auth"], advice.POLL_FAILURES["suspended"]],
    "ServerUnreachable": _OTHER_POLLS,
    "PairUnreachable": [advice.PAIR_UNREACHABLE],
    "ServiceDown": [advice.SERVICE_STOPPED],
    "ServerNotAuthorized": [advice.NOT_AUTHORIZED],
    "SectionStale": list(advice.SECTION_FAILURES.values()),
    "PotentialConflict": [advice.STATES["PotentialConflict"]],
    "ResolutionInterrupted": [advice.STATES["ResolutionInterrupted"]],
    "PartnerDownWhilePartnerServes": [advice.PARTNER_SERVES],
    "PartnerDown": [advice.STATES["PartnerDown"]],
    "NoState": [advice.STATES["NoState"], advice.UNKNOWN_STATE],
    "RecoverStuck": [advice.OVERSTAYED["Recover"]],
    "RecoverWaitStuck": [advice.OVERSTAYED["RecoverWait"]],
    "RecoverDoneStuck": [advice.OVERSTAYED["RecoverDone"]],
    "TransientStateStuck": [advice.OVERSTAYED[state] for state in ("Startup", "Init", "ConflictDone")],
    "StatesDisagree": [advice.DISAGREEMENT],
    "RelationshipOneSided": [advice.ONE_SIDED],
    "PartnerNotConfigured": [advice.NOT_CONFIGURED],
    "PortClosed": [advice.PORT_CLOSED],
    "FirewallRuleOff": [advice.FIREWALL_CLOSED],
    "ScopeFull": [advice.FULL],
    "MessageAuthenticationOff": [advice.NOT_AUTHENTICATED],
    "ParametersDiffer": [advice.DIFFERENT_SETTINGS],
    "ScopeOnOnePartner": [advice.SCOPE_ON_ONE_PARTNER],
    "ScopeUnprotected": [advice.UNPROTECTED],
    "ConfigurationDrift": [advice.DRIFT],
    "ServerOptionsDiffer": [advice.SERVER_OPTIONS_DIFFER],
}
# Each severity has its own condition; the page's tests hold them.
WEIGHED_TWICE = {
    "CommunicationInterrupted": {
        advice.STATES["CommunicationInterrupted"],
        advice.OVERSTAYED["CommunicationInterrupted"],
    },
    "OwnPoolExhausted": {advice.OWN_POOL_DRY, advice.OWN_SHARE_DRY},
}
# Found only by looking back over time, in Prometheus itself, across pairs, or told on the page in another way.
NOT_ON_THE_PAGE = {
    "ExporterDown", "NothingWatched", "RelationshipGone", "LinkFlapping", "ScopeFillingUp", "StandbyReserveTooSmall",
    "BindingUpdatesRejected", "AuthenticationFailed", "SplitScope",
}  # fmt: skip
IN_ANOTHER_WAY = {"ClockSkew", "SectionRefused", "ConfigurationNotReloaded"}


def severities() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        if "alert" in rule:
            name = rule["alert"].removeprefix("DhcpFailover")
            found.setdefault(name, set()).add(rule["labels"]["severity"])
    return found


@pytest.mark.parametrize("alert", WEIGHED_BY)
def test_the_page_weighs_as_the_alert_does(alert: str) -> None:
    assert {meant.severity for meant in WEIGHED_BY[alert]} == severities()[alert]


@pytest.mark.parametrize("alert", WEIGHED_TWICE)
def test_the_page_weighs_twice_what_has_two_alerts(alert: str) -> None:
    assert (
        {meant.severity for meant in WEIGHED_TWICE[alert]} == severities()[alert] == {"critical", "warning"}
    )


def test_every_alert_is_accounted_for() -> None:
    accounted = [*WEIGHED_BY, *WEIGHED_TWICE, *NOT_ON_THE_PAGE, *IN_ANOTHER_WAY]
    assert sorted(accounted) == sorted(severities())


def test_a_state_without_an_alert_of_its_own_is_no_more_than_a_notice() -> None:
    alerting = {
        "CommunicationInterrupted",
        "PartnerDown",
        "PotentialConflict",
        "ResolutionInterrupted",
        "NoState",
    }
    assert {
        state for state in STATES if advice.of_state(state).severity in ("critical", "warning")
    } == alerting
