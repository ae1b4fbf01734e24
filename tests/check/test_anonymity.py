"""What leaves the house in a report: words from closed lists, whatever a server puts into its answers."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from check.measured import measured
from collector import test_powershell as powershell
from dhcp_failover_exporter import check, simulator
from dhcp_failover_exporter.check import anonymity
from dhcp_failover_exporter.check.measurement import Step
from dhcp_failover_exporter.collector import SOURCE
from dhcp_failover_exporter.snapshot import Relationship, Scope, Section, SectionError, Server


def reported(*sections: Section, **what: object) -> Any:
    """The report about a server that answered so."""
    return check.report([measured("dhcp01", *sections, **what)], "1.0")["servers"][0]  # type: ignore[arg-type]  # as Measurement takes them


def error_id(text: str) -> str:
    """What a report makes of an id that came with a section; with a step it must be the same."""
    failure = SectionError(None, text, "NotSpecified", "")
    step = Step("logon", 0.1, "contract", "", text)
    server = reported(Section("settings", failure=failure), steps=(step,))
    (told,) = server["sections"][0]["errors"]
    assert server["steps"][0]["error"] == told["error"]
    return str(told["error"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("dhcp01 is down", "other"),
        ("DHCP01", "other"),
        ("DHCP 01 is down", "other"),
        ("WIN32 5\nDHCP01", "other"),
        ("Microsoft.LAB.DHCP01.XCommand", "other"),
        ("System.Lab.DHCPException", "other"),
        ("System.DHCPSRVException", "other"),
        ("WIN32 5,Get-Dhcp01", "WIN32 5,other"),
        ("WIN32 5,dhcp01.lab.local", "WIN32 5,other"),
        ("WIN32 5,Get-DhcpServerv4Scope\n", "WIN32 5,other"),
        ("WIN32 5,Microsoft.LAB.DHCP01.XCommand", "WIN32 5,other"),
        ("WIN32 5,Microsoft.PowerShell.Commands.Dhcp01Command", "WIN32 5,other"),
        ("DHCP01,Get-DhcpServerv4Scope", "other,Get-DhcpServerv4Scope"),
        ("the server DHCP01, alas, is down", "other,other"),
        ("WIN32 55512345678", "other"),
        ("WIN32 \u0665", "other"),
    ],
)
def test_a_name_in_an_error_id_is_not_told(given: str, told: str) -> None:
    """`throw "text"` makes the text the id, and our function passes ids on as they come."""
    assert error_id(given) == told


@pytest.mark.parametrize(
    "known",
    [
        "WIN32 5",
        "WIN32 1722,Get-DhcpServerv4Failover",
        "DHCP 20116,Get-DhcpServerv4ScopeStatistics",
        "HRESULT 0x80041010,Get-CimInstance",
        "HRESULT 0x80041010,Microsoft.Management.Infrastructure.CimCmdlets.GetCimInstanceCommand",
        "ParameterArgumentTransformationError,Get-DhcpFailoverSnapshot",
        "NamedParameterNotFound,Get-DhcpServerv4Failover",
        "UnknownSection",
        "CommandNotFoundException",
    ],
)
def test_an_error_id_that_windows_has_is_told(known: str) -> None:
    assert error_id(known) == known


# --- the simulator's --------------------------------------------------------------------------------------

_PARTS = {
    "code": ["5", "20005", "20116"],
    "cmdlet": sorted(anonymity.CMDLETS),
    "name": sorted(anonymity.CMDLETS),
    "exception": ["System.InvalidOperationException", "System.UnauthorizedAccessException"],
    "implementation": ["GetServiceCommand", "GetWinEventCommand"],
}
"""What the simulator fills its patterns of ids with."""
_NEVER_ASKED = "WIN32 1722,Invoke-DhcpServerv4FailoverReplication"


def _simulated_ids() -> Iterator[str]:
    for file in Path(*simulator.__path__).rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                position = {"CmdletError": 0, "CommandError": 0, "_silence": 1}.get(call.func.id)
                if position is not None:
                    yield from _texts(call.args[position], tree)


def _texts(node: ast.expr, tree: ast.Module) -> list[str]:
    """Every text that an expression for an id stands for."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        texts = [""]
        for part in node.values:
            texts = [text + more for text in texts for more in _texts(part, tree)]
        return texts
    if isinstance(node, ast.FormattedValue):
        assert isinstance(node.value, ast.Name)
        return _PARTS[node.value.id]
    assert isinstance(node, ast.Name), ast.dump(node)
    return [
        text
        for assigned in ast.walk(tree)
        if isinstance(assigned, ast.Assign)
        and ast.dump(assigned.targets[0]) == ast.dump(ast.Name(node.id, ast.Store()))
        for text in _texts(assigned.value, tree)
    ]


SIMULATED = sorted({*_simulated_ids()} - {_NEVER_ASKED})


def test_the_simulator_s_ids_were_found() -> None:
    assert {"NoInstance", "ScriptsNotAllowed", "CommandNotFoundException", "CouldNotAutoLoadModule"} <= {
        *SIMULATED
    }
    assert "MethodInvocationNotSupportedInConstrainedLanguage" in SIMULATED
    assert "WIN32 5,Get-DhcpServerv4Scope" in SIMULATED
    assert "System.UnauthorizedAccessException,Microsoft.PowerShell.Commands.GetWinEventCommand" in SIMULATED


@pytest.mark.parametrize("simulated", SIMULATED)
def test_every_id_of_the_simulator_is_told(simulated: str) -> None:
    assert error_id(simulated) == simulated


def test_cmdlets_are_the_ones_that_the_function_calls() -> None:
    """As its syntax tree has them."""
    calls = {name.rpartition("\\")[2] for name, _ in powershell.cmdlet_calls(SOURCE)}
    assert calls == anonymity.CMDLETS


# --- other words of a server ------------------------------------------------------------------------------


def test_categories_are_powershell_s_or_ours() -> None:
    errors = tuple(
        SectionError("x", "", category, "") for category in ("ObjectNotFound", "timeout", "DHCP01", "")
    )
    server = reported(Section("settings", errors=errors))
    assert [it["category"] for it in server["sections"][0]["errors"]] == [
        "ObjectNotFound",
        "timeout",
        "other",
        None,
    ]


def test_builds_and_versions_are_figures() -> None:
    told = reported(Section("server", (Server("DHCP01", "10.0.20348.2849", "5.1.20348.1", "NoLanguage"),)))
    assert (told["os_version"], told["ps_version"], told["language_mode"]) == (
        "10.0.20348.2849",
        "5.1.20348.1",
        "NoLanguage",
    )
    hidden = reported(Section("server", (Server("DHCP01", "DHCP01", "5.1 on DHCP01", "DHCP01"),)))
    assert [hidden[key] for key in ("os_version", "ps_version", "language_mode")] == ["other"] * 3


def test_words_of_relationships_and_scopes_keep_their_spelling() -> None:
    """Spelling is an open point: what differs in case or spaces only is told as it came."""
    known = Relationship("fo", "p", "Potential Conflict", (), "LoadBalance", "Active", "PrimaryServer")
    odd = Relationship("fo", "p", "DHCP01", (), "DHCP01", "DHCP01", "DHCP01")
    states = ("Active", "InActive", "Inactive", "DHCP01")
    found = tuple(Scope(f"10.0.{n}.0", state=state) for n, state in enumerate(states))
    told = reported(Section("relationships", (known, odd)), Section("scopes", found))
    keys = ("state", "mode", "server_role", "server_type")
    assert [told["relationships"][0][key] for key in keys] == [
        "Potential Conflict", "LoadBalance", "Active", "PrimaryServer",
    ]  # fmt: skip
    assert [told["relationships"][1][key] for key in keys] == ["other"] * 4
    assert told["scope_states"] == {"Active": 1, "InActive": 1, "Inactive": 1, "other": 1}
