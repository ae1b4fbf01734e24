"""What each state and each failure means to a person on call, and what to do about it.

Only words and weights; who is in which state is decided elsewhere. The states' meanings follow
https://learn.microsoft.com/en-us/windows/win32/api/dhcpsapi/ne-dhcpsapi-fsm_state and
https://learn.microsoft.com/en-us/previous-versions/windows/it-pro/windows-server-2012-R2-and-2012/dn338985(v=ws.11).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["critical", "warning", "notice", "ok"]
# Worst first: the order in which everything is shown.
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "notice", "ok")


@dataclass(frozen=True)
class Advice:
    """How bad something is, what it means, and what to do; `remedy` is empty where nothing is to be done."""

    severity: Severity
    meaning: str
    remedy: str = ""


STATES: Final[Mapping[str, Advice]] = {
    "Normal": Advice("ok", "In contact with its partner."),
    "CommunicationInterrupted": Advice(
        "warning",
        "Lost its partner. New clients get addresses from its own share only.",
        "Check that the partner runs, and TCP 647 from the primary to the secondary.",
    ),
    "PartnerDown": Advice(
        "critical",
        "Takes its partner for dead and uses the whole pool after one MCLT.",
        "Make sure that the partner is really down. If it serves clients, addresses may be leased twice.",
    ),
    "PotentialConflict": Advice(
        "critical",
        "Both servers served apart from each other; it answers no client while they compare their leases.",
        "Keep TCP 647 open until the partners have compared; look for BAD_ADDRESS leases afterwards.",
    ),
    "ResolutionInterrupted": Advice(
        "critical",
        "The link was lost again while leases were compared.",
        "Check TCP 647 from the primary to the secondary, so that the comparison can go on.",
    ),
    "ConflictDone": Advice("notice", "Leases are compared; the partner is still fetching them."),
    "NoState": Advice(
        "critical", "The DHCP service does not know the state.", "Read the DHCP service's event log there."
    ),
    "Init": Advice("notice", "Is being set up."),
    "Startup": Advice("notice", "Has just started and tries to reach its partner; answers no client yet."),
    "Recover": Advice("notice", "Rebuilds its leases from its partner; answers no client yet."),
    "RecoverWait": Advice(
        "notice", "Has all leases again and waits for one MCLT, by design; answers no client meanwhile."
    ),
    "RecoverDone": Advice("notice", "Recovered; waits for its partner to return to Normal."),
}
UNKNOWN_STATE: Final = Advice(
    "critical",
    "A state that this exporter does not know: whether it answers clients is not stated.",
    "Read Get-DhcpServerv4Failover and the DHCP service's event log there.",
)

# For a state that has lasted longer than it should.
OVERSTAYED: Final[Mapping[str, Advice]] = {
    "CommunicationInterrupted": Advice(
        "critical",
        "Lost its partner for longer than the state switch interval or, where none is set, the MCLT.",
        "Find out whether the partner is dead, or only the link; only PartnerDown opens the whole pool.",
    ),
    "Recover": Advice(
        "critical",
        "Does not finish rebuilding its leases from its partner, and answers no client.",
        "Check TCP 647, and the partner's state.",
    ),
    "RecoverWait": Advice(
        "critical",
        "Waits longer than its MCLT to serve again, and answers no client.",
        "Check the partner's state.",
    ),
    "RecoverDone": Advice(
        "critical",
        "Does not take the last step back to Normal: it renews leases, and serves no new client.",
        "Check TCP 647 from the primary to the secondary.",
    ),
    **dict.fromkeys(
        ("Startup", "Init", "ConflictDone"),
        Advice(
            "warning",
            "Does not leave a state that should pass at once.",
            "Read the DHCP service's event log there.",
        ),
    ),
}

POLL_FAILURES: Final[Mapping[str, Advice]] = {
    "auth": Advice(
        "critical",
        "The logon was refused.",
        "Check the account and its password. The next try waits 10 minutes, lest the account be locked out.",
    ),
    "suspended": Advice(
        "critical",
        "The exporter is not trying to log on, lest the account be locked: its credential was refused a "
        "short while ago. Whether this host is up is not known meanwhile.",
        "Correct the password file: a changed secret is tried at once.",
    ),
    "unreachable": Advice(
        "warning",
        "No connection to WinRM.",
        "Check that the host runs, that its name resolves, and that a firewall lets WinRM through.",
    ),
    "timeout": Advice(
        "warning",
        "No whole answer in time.",
        "Look for a host that hangs or is overloaded; raise the timeout if it is merely slow.",
    ),
    "tls": Advice(
        "warning",
        "The certificate or the handshake was refused.",
        "Check that the certificate carries the server's name and comes from the configured authority.",
    ),
    "quota": Advice(
        "warning",
        "WinRM refused one more shell, user or operation.",
        "See who holds shells there: winrm enumerate shell.",
    ),
    "permission": Advice(
        "warning",
        "The account may not use the endpoint.",
        "Add the account to Remote Management Users, or to the role of the JEA endpoint.",
    ),
    "protocol": Advice(
        "warning",
        "The server answered something that is not understood.",
        "Check that address and port lead to WinRM; report it if they do.",
    ),
    "contract": Advice(
        "warning",
        "The collector's answer is missing or misshapen.",
        "Update the collector function on the JEA endpoint to this exporter's version.",
    ),
}
NOT_POLLED: Final = Advice("notice", "No answer yet: the first poll is under way.")

SECTION_FAILURES: Final[Mapping[str, Advice]] = {
    "permission": Advice(
        "warning", "The account may not read this.", "Grant the right that the README lists for the section."
    ),
    "timeout": Advice("warning", "Not read in time.", "Look for a server that is slow or overloaded."),
    "dhcp": Advice(
        "warning",
        "The DHCP service does not answer on its own server.",
        "Start or restart the service DHCPServer there.",
    ),
    "contract": Advice(
        "warning",
        "The collector there does not know this section, or answers it in another shape.",
        "Update the collector function on the JEA endpoint to this exporter's version.",
    ),
    "other": Advice("warning", "Could not be read.", "Read the message; run the cmdlet on the server."),
}

SERVICE_STOPPED: Final = Advice(
    "critical",
    "The DHCP service does not run; its partner serves all clients from its own free addresses.",
    "Start or restart the service DHCPServer there.",
)
NOT_AUTHORIZED: Final = Advice(
    "critical",
    "The server is not authorised in Active Directory, so it gives no leases.",
    "Authorise it: Add-DhcpServerInDC.",
)
PORT_CLOSED: Final = Advice(
    "warning",
    "The primary cannot reach TCP 647 of the secondary.",
    "Check the rule DHCP Server Failover (TCP-In) on the secondary, and the firewalls between them.",
)
FIREWALL_CLOSED: Final = Advice(
    "warning",
    "The firewall of this secondary keeps failover out: the primary cannot connect again once the connection "
    "breaks.",
    "Look at the rules of the active store: one has to let TCP 647 in, and none may block it.",
)
PAIR_UNREACHABLE: Final = Advice(
    "critical",
    "Both servers do not answer the exporter: nobody can tell whether their clients get addresses.",
    "From a client's network: does ipconfig /renew work?",
)
PARTNER_SERVES: Final = Advice(
    "critical",
    "A server takes its partner for dead while the partner serves clients: after one MCLT both hand out the "
    "same addresses.",
    "Find out who forced PartnerDown, and why the servers do not reach each other.",
)
DISAGREEMENT: Final = Advice(
    "warning",
    "The partners are in states that do not belong together.",
    "Compare both servers' event logs; the one that is cut off usually still believes what it last saw.",
)
ONE_SIDED: Final = Advice(
    "warning",
    "Only one of the partners knows this relationship.",
    "Remove it where it is left over, or create it anew.",
)
NOT_CONFIGURED: Final = Advice(
    "warning",
    "This partner is not watched.",
    "Add it to the servers of the configuration: one side alone does not show a broken pair.",
)
OWN_POOL_DRY: Final = Advice(
    "critical",
    "Lost its partner and has no address of its own left in some scopes: new clients are refused there.",
    "Is the partner really dead? Only PartnerDown, after one MCLT, opens the rest of the pool.",
)
OWN_SHARE_DRY: Final = Advice(
    "warning",
    "Has no free address of its own in some scopes, while its partner has: clients of its share are refused.",
    "Look for event 20287 and for policies with ranges of their own.",
)
FULL: Final = Advice(
    "critical",
    "Scopes have no free address on either partner: new clients get none.",
    "Look for leases that nobody uses and for BAD_ADDRESS entries; widen the scopes.",
)
NEARLY_FULL: Final = Advice(
    "notice",
    "Scopes are nearly full: new clients may soon get no address.",
    "Widen them, shorten their lease, or look for clients that use up addresses.",
)
DIFFERENT_SETTINGS: Final = Advice(
    "warning",
    "The partners have different parameters for this relationship.",
    "Set them alike with Set-DhcpServerv4Failover.",
)
NOT_AUTHENTICATED: Final = Advice(
    "warning",
    "Failover messages of this pair are not authenticated: whoever reaches TCP 647 can speak as the partner.",
    "Set a shared secret on both, unless the network between them is trusted.",
)
SCOPE_ON_ONE_PARTNER: Final = Advice(
    "warning",
    "Scopes of this relationship exist on one partner only: if that one fails, their clients get nothing.",
    "Compare Get-DhcpServerv4Failover on both.",
)
UNPROTECTED: Final = Advice(
    "warning",
    "Active scopes belong to no relationship: if this server fails, their clients get nothing.",
    "Add them to a relationship: Add-DhcpServerv4FailoverScope.",
)
DRIFT: Final = Advice(
    "warning",
    "The scopes of this pair are configured differently on its servers.",
    "See what differs: dhcp-failover-exporter diff RELATIONSHIP. Then replicate from the right one.",
)
SERVER_OPTIONS_DIFFER: Final = Advice(
    "warning",
    "The server-level options of this pair differ, which nothing replicates.",
    "Compare Get-DhcpServerv4OptionValue -All on both.",
)
CLOCKS_APART: Final = Advice(
    "critical",
    "Clocks too far apart: above 60 s the partners refuse each other's updates, though both say Normal.",
    "Correct the time source of the server that is wrong.",
)


def of_state(state: str) -> Advice:
    """The advice for a state as Windows spells it."""
    return STATES.get(state, UNKNOWN_STATE)
