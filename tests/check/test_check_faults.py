"""`check` against simulated servers, each broken in one way: the right finding, the right remedy, no other."""

import json
from collections.abc import Callable

import pytest

from check.bench import PRIMARY, SECONDARY, Authority, Bench
from dhcp_failover_exporter import check
from dhcp_failover_exporter.check import Finding
from dhcp_failover_exporter.config import Settings, Tls
from dhcp_failover_exporter.simulator.windows import Category, CmdletError, Cost, Rights
from dhcp_failover_exporter.simulator.windows.configuration import FAILOVER_RULES
from dhcp_failover_exporter.simulator.wsman import Endpoint
from dhcp_failover_exporter.snapshot import SECTIONS

pytestmark = pytest.mark.wire

Make = Callable[[str], Authority]


def to_do(found: list[Finding]) -> list[tuple[str, str]]:
    """What a person has to do something about: (server, finding)."""
    return [(finding.server, finding.id) for finding in found if finding.severity != "notice"]


def remedy(found: list[Finding], finding_id: str) -> str:
    return next(finding.remedy for finding in found if finding.id == finding_id)


def with_tls(bench: Bench, authority: Authority) -> Settings:
    """The primary alone, over HTTPS, verified by that authority; its partner counts as configured."""
    settings = bench.settings(hosts=[PRIMARY], aliases={SECONDARY: PRIMARY})
    changes = {"scheme": "https", "port": bench.primary.winrm.port, "tls": Tls(ca_file=authority.file)}
    return settings.model_copy(update={"servers": (settings.servers[0].model_copy(update=changes),)})


def test_a_healthy_pair_is_fine(bench: Bench) -> None:
    found = bench.check()
    assert to_do(found) == []
    assert check.is_fine(found)


# --- the ten ----------------------------------------------------------------------------------------------


def test_wrong_password(bench: Bench) -> None:
    bench.primary.break_("wrong_password")
    bench.secondary.break_("wrong_password")
    found = bench.check()
    assert sorted(finding for _, finding in to_do(found)) == ["logon_not_tried", "logon_refused"]
    assert "locked" in remedy(found, "logon_refused")
    refused = [sum(host.winrm.refused_logons.values()) for host in (bench.primary, bench.secondary)]
    assert sorted(refused) == [0, 1], "one credential is tried once, however many servers there are"


def test_no_right_for_one_cmdlet(bench: Bench) -> None:
    denied = Rights(denied=frozenset({"Get-DhcpServerv4ScopeStatistics"}))
    bench.primary.dhcp.grant(bench.primary.account.username, denied)
    found = bench.check()
    assert to_do(found) == [(PRIMARY, "right_missing")]
    assert "Get-DhcpServerv4ScopeStatistics is refused (WIN32 5" in found[0].text
    assert "DHCP Users" in found[0].remedy


def test_quota(bench: Bench) -> None:
    bench.primary.break_("quota_reached")
    found = bench.check()
    assert to_do(found) == [(PRIMARY, "quota")]
    assert "winrm enumerate shell" in remedy(found, "quota")


def test_closed_port(bench: Bench) -> None:
    bench.primary.winrm.go_down()
    found = bench.check()
    assert to_do(found) == [(PRIMARY, "port_refused")]
    assert "Enable-PSRemoting" in remedy(found, "port_refused")


def test_expired_certificate(bench: Bench, authority: Make) -> None:
    ca = authority("lab")
    bench.serve(bench.primary, tls=ca.issue(PRIMARY, valid_days=-1))
    found = bench.check(with_tls(bench, ca))
    assert to_do(found) == [(PRIMARY, "certificate_expired")]
    assert "thumbprint" in found[0].remedy


def test_wrong_authority(bench: Bench, authority: Make) -> None:
    bench.serve(bench.primary, tls=authority("theirs").issue(PRIMARY, valid_days=90))
    found = bench.check(with_tls(bench, authority("ours")))
    assert to_do(found) == [(PRIMARY, "certificate_untrusted")]
    assert "ca_file" in found[0].remedy


def test_clock(bench: Bench) -> None:
    bench.secondary.break_("clock_apart")
    found = bench.check()
    assert to_do(found) == [(SECONDARY, "clocks_apart"), (SECONDARY, "clock_off")]
    assert "w32tm" in remedy(found, "clocks_apart")


def test_failover_port_closed(bench: Bench) -> None:
    bench.secondary.break_("port_blocked")
    found = bench.check()
    assert to_do(found) == [(PRIMARY, "failover_port_closed")]
    assert f"On {SECONDARY}: Enable-NetFirewallRule" in found[0].remedy


def test_jea_without_the_function(bench: Bench) -> None:
    bench.serve(bench.primary, endpoints=(Endpoint("DhcpFailoverExporter", "NoLanguage"),))
    changed = bench.settings().servers[0].model_copy(update={"configuration_name": "DhcpFailoverExporter"})
    settings = bench.settings()
    found = bench.check(settings.model_copy(update={"servers": (changed, settings.servers[1])}))
    assert to_do(found) == [(PRIMARY, "function_missing")]
    assert "`dhcp-failover-exporter jea`" in found[0].remedy


def test_hung(bench: Bench) -> None:
    bench.primary.break_("hung")
    found = bench.check(timeout="6s")
    assert to_do(found) == [(PRIMARY, "hung")]
    assert "Restart the service WinRM" in found[0].remedy


# --- and more ---------------------------------------------------------------------------------------------


def test_port_open_backwards_only(bench: Bench) -> None:
    """The secondary does not dial: that it cannot is no trouble."""
    bench.primary.dhcp.network.block(bench.secondary.dhcp, bench.primary.dhcp, silently=False)
    assert to_do(bench.check()) == []


@pytest.mark.parametrize(("days", "finding"), [(20, "certificate_ends_soon"), (90, None)])
def test_certificate_that_ends_soon(bench: Bench, authority: Make, days: int, finding: str | None) -> None:
    ca = authority("lab")
    bench.serve(bench.primary, tls=ca.issue(PRIMARY, valid_days=days))
    assert to_do(bench.check(with_tls(bench, ca))) == ([(PRIMARY, finding)] if finding else [])


def test_certificate_of_another_name(bench: Bench, authority: Make) -> None:
    ca = authority("lab")
    bench.serve(bench.primary, tls=ca.issue("elsewhere.lab.local", valid_days=90))
    assert to_do(bench.check(with_tls(bench, ca))) == [(PRIMARY, "certificate_other_name")]


def test_endpoint_that_takes_no_scripts(bench: Bench) -> None:
    bench.serve(bench.primary, endpoints=(Endpoint("Microsoft.PowerShell", "NoLanguage"),))
    assert to_do(bench.check()) == [(PRIMARY, "scripts_refused")]


def test_constrained_language(bench: Bench) -> None:
    bench.serve(bench.primary, endpoints=(Endpoint(language="ConstrainedLanguage"),))
    assert (PRIMARY, "constrained_language") in to_do(bench.check())


def test_module_missing(bench: Bench) -> None:
    error = CmdletError("CouldNotAutoLoadModule", Category.ObjectNotFound, "no module")
    bench.primary.dhcp.fail("Get-DhcpServerv4Failover", error)
    found = bench.check()
    assert (PRIMARY, "module_missing") in to_do(found)
    assert "RSAT-DHCP" in remedy(found, "module_missing")


def test_service_stopped(bench: Bench) -> None:
    bench.primary.break_("service_stopped")
    found = bench.check()
    assert (PRIMARY, "service_silent") in to_do(found)
    assert (PRIMARY, "right_missing") not in to_do(found)


def test_firewall_rule_off_on_the_secondary(bench: Bench) -> None:
    bench.secondary.break_("firewall_rule_off")
    found = bench.check()
    assert to_do(found) == [(PRIMARY, "failover_port_closed"), (SECONDARY, "firewall_closed")]
    assert f"({FAILOVER_RULES[0]} is disabled)" in found[1].text


def test_partner_not_configured(bench: Bench) -> None:
    assert to_do(bench.check(hosts=[PRIMARY])) == [(PRIMARY, "partner_not_configured")]


def test_not_authorized(bench: Bench) -> None:
    bench.primary.break_("not_authorized")
    assert to_do(bench.check()) == [(PRIMARY, "not_authorized")]


@pytest.mark.parametrize("policy", ["transcription", "module_logging"])
def test_policies_that_fill_the_disk(bench: Bench, policy: str) -> None:
    setattr(bench.primary.dhcp.powershell_policies, policy, True)
    found = bench.check(intervals={"state": "1s"})
    assert to_do(found) == [(PRIMARY, policy)]
    a_day = check.document(bench.measurements, found)["servers"][0]["bytes_per_day"]
    assert a_day > 50e6
    assert f"about {a_day / 1e6:.0f} MB a day" in found[0].text


def test_a_name_that_does_not_resolve(bench: Bench) -> None:
    settings = bench.settings()
    lost = settings.servers[0].model_copy(update={"address": "nowhere.invalid"})
    found = bench.check(settings.model_copy(update={"servers": (lost, settings.servers[1])}))
    assert to_do(found) == [(PRIMARY, "name_unresolved")]
    assert "The name nowhere.invalid does not resolve here" in found[0].text
    assert "give the server an address: in the configuration" in found[0].remedy
    assert [(step.name, step.failure) for step in bench.measurements[0].steps] == [("name", "unresolved")]


def test_relationships_refused(bench: Bench) -> None:
    denied = Rights(denied=frozenset({"Get-DhcpServerv4Failover"}))
    bench.primary.dhcp.grant(bench.primary.account.username, denied)
    found = bench.check()
    assert to_do(found)[0] == (PRIMARY, "failover_refused")
    assert {finding for _, finding in to_do(found)} == {"failover_refused", "right_missing"}
    assert "Get-DhcpServerv4Failover is refused (WIN32 5,Get-DhcpServerv4Failover)" in found[0].text
    assert "to the group DHCP Users and restart the service DHCPServer" in found[0].remedy


def test_a_slow_server(bench: Bench) -> None:
    bench.primary.dhcp.costs["Get-DhcpServerv4Failover"] = Cost(1.6)
    bench.primary.dhcp.costs["Get-DhcpServerv4Reservation"] = Cost(0.06)
    found = bench.check(timeout="3s", intervals={"audit": "1s"}, sections={"ports": False})
    assert to_do(found) == [(PRIMARY, "slow"), (PRIMARY, "audit_slow")]


def test_every_step_and_section_has_its_time(bench: Bench) -> None:
    bench.primary.dhcp.costs["Get-DhcpServerSetting"] = Cost(0.3)
    bench.check(hosts=[PRIMARY])
    table = check.table(bench.measurements, [])
    for told in (
        check.document(bench.measurements, [])["servers"][0],
        check.report(bench.measurements, "1.0")["servers"][0],
    ):
        steps = {it["step"]: it["seconds"] for it in told["steps"]}
        assert steps["logon"] > 0
        sections = {it["section"]: it for it in told["sections"]}
        assert sections.keys() == set(SECTIONS)
        assert [name for name, it in sections.items() if it["seconds"] <= 0] == []
        assert 0.3 <= sections["settings"]["server_seconds"] <= sections["settings"]["seconds"] < 3
        assert f"settings       {sections['settings']['seconds']:6.2f} s" in table


# --- what leaves the house --------------------------------------------------------------------------------


def test_the_report_names_nobody(bench: Bench) -> None:
    error = CmdletError(f"WIN32 5,{PRIMARY}", Category.PermissionDenied, f"refused on {PRIMARY}")
    bench.primary.dhcp.fail("Get-DhcpServerSetting", error)
    bench.check()
    text = json.dumps(check.report(bench.measurements, "1.0")).lower()
    for secret in ("dhcp01", "dhcp02", "lab.local", "127.0.0.1", "10.1.", "svc-dhcp", "floor", "refused on"):
        assert secret not in text
    server = json.loads(text)["servers"][0]
    assert (server["language_mode"], server["memory_megabytes"]) == ("fulllanguage", 58.0)
    identity = bench.primary.dhcp.identity
    assert (server["os_version"], server["ps_version"]) == (identity.os_version, identity.ps_version)
    assert {section["section"] for section in server["sections"]} >= {"statistics", "configuration"}


def test_the_report_keeps_the_ids_that_settle_open_points(bench: Bench) -> None:
    bench.primary.dhcp.grant(bench.primary.account.username, Rights.dhcp_users())
    denied = CmdletError("WIN32 5,Get-DhcpServerSetting", Category.PermissionDenied, "no")
    bench.primary.dhcp.fail("Get-DhcpServerSetting", denied)
    bench.check()
    sections = check.report(bench.measurements, "1.0")["servers"][0]["sections"]
    ids = {error["error"] for section in sections for error in section["errors"]}
    assert [it for it in ids if "other" in it] == []
    assert ids >= {
        "WIN32 5,Get-DhcpServerSetting",
        "NoInstance",
        "System.UnauthorizedAccessException,Microsoft.PowerShell.Commands.GetWinEventCommand",
    }


def test_the_table_shows_finding_and_remedy(bench: Bench) -> None:
    bench.primary.break_("not_authorized")
    found = bench.check()
    text = check.table(bench.measurements, found)
    assert "CRITICAL  The server is not authorised" in text
    assert "Add-DhcpServerInDC" in text
    assert "2 servers: 1 critical" in text
