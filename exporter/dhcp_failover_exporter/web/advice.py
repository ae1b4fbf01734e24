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
UNKNOWN_STATE: Final = Advice("warning", "A state that this exporter does not know.")

POLL_FAILURES: Final[Mapping[str, Advice]] = {
    "auth": Advice(
        "critical",
        "The logon was refused.",
        "Check the account and its password. The next try waits 10 minutes, lest the account be locked out.",
    ),
    "suspended": Advice(
        "critical",
        "No logon is tried, because the credential was refused a short while ago.",
        "Correct the password file: a changed secret is tried at once.",
    ),
    "unreachable": Advice(
        "critical",
        "No connection to WinRM.",
        "Check that the host runs, that its name resolves, and that a firewall lets WinRM through.",
    ),
    "timeout": Advice(
        "critical",
        "No whole answer in time.",
        "Look for a host that hangs or is overloaded; raise the timeout if it is merely slow.",
    ),
    "tls": Advice(
        "critical",
        "The certificate or the handshake was refused.",
        "Check that the certificate carries the server's name and comes from the configured authority.",
    ),
    "quota": Advice(
        "critical",
        "WinRM refused one more shell, user or operation.",
        "See who holds shells there: winrm enumerate shell.",
    ),
    "permission": Advice(
        "critical",
        "The account may not use the endpoint.",
        "Add the account to Remote Management Users, or to the role of the JEA endpoint.",
    ),
    "protocol": Advice(
        "critical",
        "The server answered something that is not understood.",
        "Check that address and port lead to WinRM; report it if they do.",
    ),
    "contract": Advice(
        "critical",
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
        "critical",
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
    "notice",
    "This partner is not watched.",
    "Add it to the servers of the configuration: one side alone does not show a broken pair.",
)
NEARLY_FULL: Final = Advice(
    "warning",
    "Scopes are nearly full: new clients may soon get no address.",
    "Widen them, shorten their lease, or look for clients that use up addresses.",
)
DIFFERENT_SETTINGS: Final = Advice(
    "notice",
    "The partners have different settings for this relationship.",
    "Set them alike with Set-DhcpServerv4Failover.",
)
CLOCKS_APART: Final = Advice(
    "critical",
    "Clocks too far apart: above 60 s the partners refuse each other's updates, though both say Normal.",
    "Correct the time source of the server that is wrong.",
)


def of_state(state: str) -> Advice:
    """The advice for a state as Windows spells it."""
    return STATES.get(state, UNKNOWN_STATE)
