"""What is wrong with what was measured, as pure functions: each yields the words for what it finds.

What the words are put into, how bad it is and what to do about it stands in `rules`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dhcp_failover_exporter.check.measurement import Asked, Measurement
from dhcp_failover_exporter.failover import (
    CLOCK_CRITICAL_SECONDS,
    CLOCK_WARNING_SECONDS,
    FIREWALL_RULE_IN,
    Firewall,
    firewall,
    folded,
)
from dhcp_failover_exporter.metrics import GROUPS
from dhcp_failover_exporter.snapshot import FirewallRule, PortProbe, SectionError, Server, ServerSetting

Words = Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """One server's measurement, and those of all servers by name."""

    own: Measurement
    fleet: Mapping[str, Measurement]


Finder = Callable[[Case], Iterator[Words]]


# --- the way ----------------------------------------------------------------------------------------------


def failed(step: str, *failures: str) -> Finder:
    """A step that failed in one of these ways."""

    def find(case: Case) -> Iterator[Words]:
        taken = case.own.step(step)
        if taken and taken.failure in failures:
            yield {"detail": taken.detail}

    return find


_CERTIFICATE_DAYS: Final = 30
_DAY: Final = 86400


def certificate_ends(case: Case) -> Iterator[Words]:
    """A certificate that is valid, but not for long."""
    left = case.own.certificate_seconds
    if left is not None and left < _CERTIFICATE_DAYS * _DAY:
        yield {"days": f"{left / _DAY:.0f}"}


# --- rights and answers -----------------------------------------------------------------------------------


# A scope that was deleted meanwhile, or that is in no relationship, is no trouble.
_HARMLESS: Final = {"DHCP 20005", "DHCP 20116"}
_NO_MODULE: Final = ("CommandNotFoundException", "CouldNotAutoLoadModule", "CouldNotAutoloadMatchingModule")
_NO_COUNTERS: Final = "NoInstance"


def _kind(error: SectionError) -> str:
    """What an error is about; messages are localised and never read."""
    if error.code in _NO_MODULE:
        return "module"
    return "counters" if error.code == _NO_COUNTERS else error.reason


def _cmdlet(section: str, error: SectionError) -> str:
    """The cmdlet of `WIN32 5,Get-DhcpServerv4Scope`, and of a class `GetWinEventCommand`.

    Where the id names neither, what was to be read.
    """
    name = error.id.rpartition(",")[2].rpartition(".")[2].removesuffix("Command")
    if "-" in name:
        return name
    return f"Get-{name[3:]}" if name.startswith("Get") else error.item or f"section {section}"


def troubles(asked: Asked) -> Iterator[SectionError]:
    """The errors of a section, without those that a healthy server has too."""
    section = asked.section
    for error in (section.failure, *section.errors):
        # The service manager answers administrators only; an answered relationships section says the same.
        expected = section.name == "server" and error is not None and error.item == "ServiceStatus"
        if error is not None and error.code not in _HARMLESS and not expected:
            yield error


def unread(kind: str, *, only: str = "", but: str = "") -> Finder:
    """Each cmdlet that failed for that reason, once, however many scopes it failed for."""

    def find(case: Case) -> Iterator[Words]:
        if logon_failed(case.own):
            return
        seen: set[tuple[str, str]] = set()
        for name, asked in case.own.asked.items():
            if name == but or (only and name != only):
                continue
            for error in troubles(asked):
                key = (_cmdlet(name, error), error.id)
                if _kind(error) == kind and key not in seen:
                    seen.add(key)
                    yield {
                        "section": name,
                        "cmdlet": key[0],
                        "error": error.id or error.category,
                        "message": error.message,
                        "right": RIGHTS.get(name, ""),
                        "seconds": f"{asked.seconds:.1f}",
                    }

    return find


def logon_failed(own: Measurement) -> bool:
    """Then the step has a finding of its own, which says more."""
    logon = own.step("logon")
    return logon is not None and logon.failure is not None


RIGHTS: Final[Mapping[str, str]] = {
    "events": "Event Log Readers",
    "counters": "DHCP Users (and Performance Monitor Users for the performance class)",
    "firewall": "read access to the firewall's active store, which administrators have (less: unconfirmed)",
    "server": "read access to HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion",
    "settings": "DHCP Users, on some builds DHCP Administrators (unconfirmed)",
    **dict.fromkeys(("ports", "scopes", "statistics", "configuration"), "DHCP Users"),
}


def old_powershell(case: Case) -> Iterator[Words]:
    """A PowerShell that does not know the syntax of our function."""
    record = case.own.record("server", Server)
    version = (record and record.ps_version) or ""
    major, _, minor = version.partition(".")
    if major.isdigit() and (int(major), int(minor.partition(".")[0] or 0)) < (5, 1):
        yield {"version": version}


def constrained(case: Case) -> Iterator[Words]:
    """A language mode in which .NET calls fail."""
    record = case.own.record("server", Server)
    if record and folded(record.language_mode or "") == "constrainedlanguage":
        yield {}


# --- time and volume --------------------------------------------------------------------------------------


def slow_state(case: Case) -> Iterator[Words]:
    """State polls that come near to their timeout."""
    seconds = sum(case.own.asked[name].seconds for name in GROUPS["state"] if name in case.own.asked)
    if case.own.topology.links and seconds > case.own.server.timeout_seconds / 2:
        yield {"seconds": f"{seconds:.1f}"}


def slow_audit(case: Case) -> Iterator[Words]:
    """An audit that would hardly end before the next is due."""
    asked = case.own.asked.get("configuration")
    if asked is None or not asked.scopes or asked.section.failure:
        return
    seconds = asked.section.elapsed_seconds / asked.scopes * len(case.own.topology.membership)
    interval = case.own.server.intervals.audit_seconds
    if seconds > interval / 2:
        yield {"seconds": f"{seconds:.0f}", "interval": f"{interval:.0f}"}


def characters_per_day(own: Measurement) -> float:
    """What the server writes for us in a day, at the configured intervals."""
    return sum(
        _whole(asked, own) * _DAY / float(getattr(own.server.intervals, f"{group}_seconds"))
        for group, sections in GROUPS.items()
        for name in sections
        if (asked := own.asked.get(name))
    )


def _whole(asked: Asked, own: Measurement) -> float:
    """The answer's size for all scopes, where only some were asked for."""
    return asked.characters * (len(own.topology.membership) / asked.scopes if asked.scopes else 1)


def logged(policy: str) -> Finder:
    """A policy that writes our calls and their output to the disk of the server."""

    def find(case: Case) -> Iterator[Words]:
        setting = case.own.record("settings", ServerSetting)
        if setting and getattr(setting, policy):
            yield {"megabytes": f"{characters_per_day(case.own) / 1e6:.0f}"}

    return find


# --- failover ---------------------------------------------------------------------------------------------


def closed_ports(*server_types: str) -> Finder:
    """Partners that a server of this type does not reach."""

    def find(case: Case) -> Iterator[Words]:
        for probe in case.own.records("ports", PortProbe):
            partner, server_type = case.own.topology.partner_spelled(probe.partner_server)
            if not probe.reachable and server_type in server_types:
                yield {
                    "partner": partner,
                    "target": probe.address or probe.partner_server,
                    "error": probe.error or "no answer",
                }

    return find


def _is(server_type: str, case: Case) -> bool:
    return any(link.server_type == server_type for link in case.own.topology.links)


def closed_from_here(case: Case) -> Iterator[Words]:
    """A secondary that listens, but not for the exporter."""
    if _is("secondary", case):
        yield from failed("647", "refused", "silent", "no_route")(case)


def clocks_apart(case: Case) -> Iterator[Words]:
    """Told once per pair, of the server that is further from the exporter's clock."""
    mine = case.own.clock
    for partner in sorted({link.partner for link in case.own.topology.links}):
        theirs = case.fleet[partner].clock if partner in case.fleet else None
        if mine is None or theirs is None or abs(mine.seconds) < abs(theirs.seconds):
            continue
        apart = abs(mine.seconds - theirs.seconds) - mine.uncertainty_seconds - theirs.uncertainty_seconds
        if apart > CLOCK_CRITICAL_SECONDS:
            yield {"seconds": f"{mine.seconds - theirs.seconds:+.1f}", "partner": partner}


def clock_off(case: Case) -> Iterator[Words]:
    """A clock that differs from the one here."""
    clock = case.own.clock
    if clock and abs(clock.seconds) - clock.uncertainty_seconds > CLOCK_WARNING_SECONDS:
        yield {"seconds": f"{clock.seconds:+.1f}"}


def _firewall(case: Case) -> Firewall:
    return firewall(case.own.records("firewall", FirewallRule))


def blocked(case: Case) -> Iterator[Words]:
    """Active rules that block the failover port."""
    yield from ({"rule": rule.name} for rule in _firewall(case).blocking)


def not_allowed(server_type: str) -> Finder:
    """A server of this type that no active rule opens the failover port of."""

    def find(case: Case) -> Iterator[Words]:
        off = {rule.name: rule for rule in _firewall(case).off}
        counts = server_type == ("secondary" if _is("secondary", case) else "primary")
        if off and case.own.topology.links and counts:
            built_in = off.get(FIREWALL_RULE_IN)
            state = "disabled" if built_in and built_in.present else "missing"
            yield {"state": state, "rule": FIREWALL_RULE_IN}

    return find


def unauthorized(case: Case) -> Iterator[Words]:
    """A member of a domain that does not lease."""
    setting = case.own.record("settings", ServerSetting)
    if setting and setting.is_domain_joined and setting.is_authorized is False:
        yield {}


def not_configured(case: Case) -> Iterator[Words]:
    """Partners that are not watched."""
    unknown = {link.partner for link in case.own.topology.links if not link.partner_configured}
    yield from ({"partner": partner} for partner in sorted(unknown))


def no_relationship(case: Case) -> Iterator[Words]:
    """A server that answered, and has none."""
    asked = case.own.asked.get("relationships")
    if asked and asked.section.reason is None and not case.own.topology.links:
        yield {}
