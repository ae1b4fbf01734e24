"""What `jea` writes: the collector's own text, and PowerShell that keeps the collector's rules."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from collector import test_powershell as powershell
from dhcp_failover_exporter import cli, jea
from dhcp_failover_exporter.collector import FUNCTION_NAME, SOURCE

GROUP, MANAGED = "LAB\\DHCP Failover Monitors", "LAB\\gmsa-dhcp$"
FILES = jea.contents(GROUP, MANAGED)
INSTALL = FILES["Install-DhcpFailoverExporter.ps1"]
DATA = {name: text for name, text in FILES.items() if name.endswith((".psd1", ".psrc", ".pssc"))}

VERBS = powershell.APPROVED_VERBS | {"Copy", "Register"}
DOCUMENTED: Mapping[str, set[str]] = {
    "CimCmdlets\\Get-CimInstance": {"-ClassName"},
    "DhcpServer\\Add-DhcpServerSecurityGroup": set(),
    "Microsoft.PowerShell.Core\\Get-PSSessionCapability": {"-ConfigurationName", "-Username"},
    "Microsoft.PowerShell.Core\\Get-PSSessionConfiguration": {"-Name"},
    "Microsoft.PowerShell.Core\\Register-PSSessionConfiguration": {"-Name", "-Path", "-Force", "-NoServiceRestart"},
    "Microsoft.PowerShell.Core\\Unregister-PSSessionConfiguration": {"-Name", "-Force", "-NoServiceRestart"},
    "Microsoft.PowerShell.LocalAccounts\\Add-LocalGroupMember": {"-Group", "-Member"},
    "Microsoft.PowerShell.LocalAccounts\\Get-LocalGroup": {"-Name"},
    "Microsoft.PowerShell.LocalAccounts\\New-LocalGroup": {"-Name"},
    "Microsoft.PowerShell.Management\\Copy-Item": {"-Path", "-Destination", "-Recurse", "-Force"},
    "Microsoft.PowerShell.Management\\Get-ChildItem": {"-Path", "-Recurse", "-File"},
    "Microsoft.PowerShell.Management\\Restart-Service": {"-Name"},
    "Microsoft.PowerShell.Management\\Test-Path": {"-Path"},
    "Microsoft.PowerShell.Utility\\Unblock-File": {"-Path"},
    "Microsoft.PowerShell.Utility\\Write-Warning": {"-Message"},
    "Microsoft.WSMan.Management\\Get-WSManInstance": {"-ResourceURI", "-SelectorSet"},
    "Microsoft.WSMan.Management\\New-WSManInstance": {"-ResourceURI", "-SelectorSet", "-ValueSet"},
    "Microsoft.WSMan.Management\\Set-WSManInstance": {"-ResourceURI", "-SelectorSet", "-ValueSet"},
    "NetSecurity\\Get-NetFirewallRule": {"-Name"},
    "NetSecurity\\New-NetFirewallRule": {
        "-Name", "-DisplayName", "-Direction", "-Protocol", "-LocalPort", "-RemoteAddress", "-Action",
    },
    "NetSecurity\\Remove-NetFirewallRule": {"-Name"},
}  # fmt: skip
"""Cmdlets that the script may use, with the parameters that Microsoft documents (learn.microsoft.com)."""


def test_the_module_is_the_collector_byte_for_byte(tmp_path: Path) -> None:
    jea.write(tmp_path, GROUP)
    written = (tmp_path / "DhcpFailoverExporter" / "DhcpFailoverExporter.psm1").read_bytes()
    assert written == SOURCE.encode("ascii")


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_powershell_in_ascii(name: str) -> None:
    assert powershell.syntax_errors(FILES[name]) == []
    assert powershell.not_ascii(FILES[name]) == []
    assert "<<" not in FILES[name]


@pytest.mark.parametrize(
    "rule",
    [
        powershell.without_error_action,
        powershell.not_a_qualified_cmdlet,
        powershell.for_the_screen,
        powershell.against_the_partner,
        powershell.positional_arguments,
    ],
    ids=lambda rule: rule.__name__,
)
def test_the_script_keeps_the_collector_s_rules(rule: Callable[[str], list[str]]) -> None:
    assert rule(INSTALL) == []


def test_the_script_uses_documented_cmdlets_and_parameters_only() -> None:
    common = {"-ErrorAction", "-ErrorVariable"}
    for name, parameters in powershell.cmdlet_calls(INSTALL):
        assert set(parameters) <= DOCUMENTED[name] | common, name


def test_functions_of_the_script_have_approved_verbs_and_are_called() -> None:
    names = powershell.function_names(INSTALL)
    assert {name.partition("-")[0] for name in names} <= VERBS
    called = [name for name, _ in powershell.commands(INSTALL)]
    assert [name for name in names if name not in called] == []


def test_every_change_asks_first() -> None:
    """With -WhatIf the script changes nothing: a function that changes something asks ShouldProcess."""
    changing = re.compile(r"\\(Add|New|Set|Remove|Restart|Copy|Unblock|Register|Unregister)-")
    parts = re.split(r"^function ", INSTALL, flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in parts if changing.search(part) and "ShouldProcess" not in part] == []


def body(function: str) -> str:
    found = re.search(rf"^function {function} {{.*?^}}", INSTALL, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def test_no_end_of_the_script_is_silent_about_the_test() -> None:
    """An account left out, or one that Windows cannot look up, is told: only a dry run says nothing."""
    silent = re.findall(r"^ *if \((.*)\) { return }$", body("Test-Endpoint"), re.MULTILINE)
    assert silent == ["$WhatIfPreference"]
    assert "$Account -eq ''" in body("Test-Endpoint")
    assert body("Test-Endpoint").count("Write-Warning") == body("Get-Visible").count("Write-Warning") == 1


def test_the_dhcp_groups_are_looked_for_on_a_domain_controller_too() -> None:
    assert "-not (Test-DhcpGroup)" in body("Add-DhcpGroup")
    assert "$isDomainController" not in body("Add-DhcpGroup")
    assert "Get-LocalGroup" in body("Test-DhcpGroup")
    assert "NTAccount] 'DHCP Users')" in body("Test-DhcpGroup")


@pytest.mark.parametrize("name", DATA)
def test_data_files_run_nothing(name: str) -> None:
    assert powershell.commands(DATA[name]) == []


def test_the_role_shows_one_function_and_imports_what_it_calls() -> None:
    role = FILES["DhcpFailoverExporter/RoleCapabilities/DhcpFailoverExporter.psrc"]
    assert re.findall(r"^    Visible\w+ = (.*)$", role, re.MULTILINE) == [f"'{FUNCTION_NAME}'"]
    imported = re.search(r"ModulesToImport = (.*)", role)
    assert imported is not None
    assert set(re.findall(r"'([^']+)'", imported[1])) == powershell.MODULES | {"DhcpFailoverExporter"}
    assert powershell.from_other_modules(SOURCE) == []


def test_least_privilege_comes_first() -> None:
    sessions = [name for name in FILES if name.endswith(".pssc")]
    assert sessions == ["Users.pssc", "VirtualAccount.pssc", "ManagedAccount.pssc"]
    assert "[string] $RunAs = 'Users'" in INSTALL
    assert "RunAsVirtualAccountGroups = 'DHCP Users', " in FILES["Users.pssc"]
    assert "RunAsVirtualAccountGroups" not in FILES["VirtualAccount.pssc"]
    assert f"GroupManagedServiceAccount = '{MANAGED}'" in FILES["ManagedAccount.pssc"]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".pssc")])
def test_sessions_are_restricted_to_the_group(name: str) -> None:
    assert "SessionType = 'RestrictedRemoteServer'" in FILES[name]
    assert "LanguageMode = 'NoLanguage'" in FILES[name]
    assert f"'{GROUP}' = @{{ RoleCapabilities = 'DhcpFailoverExporter' }}" in FILES[name]


def test_no_virtual_account_on_a_domain_controller() -> None:
    assert re.search(r"isDomainController -and \$RunAs -eq 'VirtualAccount'\) \{\s+throw", INSTALL)


@pytest.mark.parametrize(
    "name", ["x'; Remove-Item C:\\ #", "a\nb", "", "$(whoami)", "LAB\\", "`whoami`", "x\u2019y", "a\n"]
)
def test_a_name_cannot_become_code(name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        jea.contents(name or " ")


@pytest.mark.parametrize(
    "name", ["Monitors", "DHCP Failover Monitors", GROUP, MANAGED, "Remote Management Users"]
)
def test_names_of_windows_are_taken(name: str) -> None:
    assert jea.contents(name)


def test_the_same_run_writes_the_same_files() -> None:
    assert jea.contents(GROUP, MANAGED) == FILES


def test_without_a_managed_account_there_is_no_such_session() -> None:
    assert "ManagedAccount.pssc" not in jea.contents(GROUP)


def test_command_lists_what_it_wrote(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["jea", "--output", str(tmp_path / "new"), "--group", GROUP])
    assert result.exit_code == 0, result.output
    listed = [line for line in result.output.splitlines() if line.startswith(str(tmp_path))]
    assert all(Path(line).is_file() for line in listed)
    assert len(listed) == len(jea.contents(GROUP))


def test_the_next_steps_run_as_they_are_printed(tmp_path: Path) -> None:
    """PowerShell without a placeholder; the account is asked for, or nobody could connect to the endpoint."""
    result = CliRunner().invoke(cli.main, ["jea", "--output", str(tmp_path), "--group", "Monitors"])
    steps = [line.strip() for line in result.output.splitlines() if line.startswith("  ")]
    assert len(steps) == 2
    for step in steps:
        assert powershell.syntax_errors(step) == []
        (script, given), (asked, _) = powershell.commands(step)
        assert (tmp_path / script.removeprefix(".\\")).is_file()
        assert asked == "Read-Host"
        parameters = {parameter for parameter in given if parameter.startswith("-")}
        assert parameters - {"-WhatIf"} == {"-Account"}
        assert "[string] $Account" in INSTALL
    assert [step.endswith(" -WhatIf") for step in steps] == [True, False]


def test_command_refuses_a_wrong_group(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.main, ["jea", "--output", str(tmp_path), "--group", "a'b"])
    assert result.exit_code == 2
