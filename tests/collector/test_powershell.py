"""The PowerShell function against a real grammar, and against the rules that the contract sets for it."""

import re
from collections.abc import Callable, Iterator

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from dhcp_failover_exporter.collector import CONTRACT_VERSION, FUNCTION_NAME, SOURCE

PARSER = Parser(Language(tree_sitter_powershell.language()))

Rule = Callable[[str], list[str]]

MODULES = {
    "DhcpServer",
    "NetSecurity",
    "CimCmdlets",
    "Microsoft.PowerShell.Management",
    "Microsoft.PowerShell.Utility",
    "Microsoft.PowerShell.Diagnostics",
}
"""What a JEA role imports, since visibility settings switch module auto-loading off."""

APPROVED_VERBS = {
    "Add", "Assert", "Complete", "Convert", "ConvertFrom", "ConvertTo", "Find", "Get", "Invoke", "Join", "Measure",
    "Merge", "New", "Read", "Resolve", "Select", "Split", "Start", "Stop", "Test", "Wait", "Write",
}  # fmt: skip


def nodes(node: Node, *kinds: str) -> Iterator[Node]:
    """Every node of these kinds, in the order of the text."""
    if node.type in kinds:
        yield node
    for child in node.children:
        yield from nodes(child, *kinds)


def text(node: Node | None) -> str:
    return "" if node is None or node.text is None else node.text.decode()


def tree(source: str) -> Node:
    return PARSER.parse(source.encode()).root_node


def syntax_errors(source: str) -> list[str]:
    return [text(node) for node in nodes(tree(source), "ERROR")] + ["missing"] * tree(source).has_error


def function_names(source: str) -> list[str]:
    return [text(node.named_children[0]) for node in nodes(tree(source), "function_statement")]


def commands(source: str) -> list[tuple[str, list[str]]]:
    """Each command's name and its parameters, nested calls of our own parts included."""
    return [
        (text(next(nodes(node, "command_name"), None)), [text(each) for each in own_parameters(node)])
        for node in nodes(tree(source), "command")
    ]


def own_parameters(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.type == "command_parameter":
            yield child
        elif child.type not in {"command", "script_block"}:
            yield from own_parameters(child)


def cmdlet_calls(source: str) -> list[tuple[str, list[str]]]:
    own = set(function_names(source))
    return [(name, parameters) for name, parameters in commands(source) if name not in own]


def not_ascii(source: str) -> list[str]:
    return re.findall(r"[^\n\x20-\x7e]", source)


def top_level_functions(source: str) -> list[str]:
    statements = next(nodes(tree(source), "statement_list")).named_children
    return [
        text(each.named_children[0]) if each.type == "function_statement" else text(each)
        for each in statements
    ]


def not_one_function(source: str) -> list[str]:
    found = top_level_functions(source)
    return [] if found == [FUNCTION_NAME] else found


def without_error_action(source: str) -> list[str]:
    return [name for name, parameters in cmdlet_calls(source) if "-ErrorAction" not in parameters]


def not_a_qualified_cmdlet(source: str) -> list[str]:
    """Aliases, programs, and names that a JEA proxy would shadow."""
    names = [name for name, _ in cmdlet_calls(source)]
    return [name for name in names if not re.fullmatch(r"[\w.]+\\[A-Z]\w+-[A-Z]\w+", name)]


def from_other_modules(source: str) -> list[str]:
    return [name for name, _ in cmdlet_calls(source) if name.partition("\\")[0] not in MODULES]


def for_the_screen(source: str) -> list[str]:
    return [name for name, _ in commands(source) if re.search(r"(Format-|Write-Host|Out-)", name)]


def against_the_partner(source: str) -> list[str]:
    return [
        p for _, parameters in commands(source) for p in parameters if p in {"-ComputerName", "-CimSession"}
    ]


def writing(source: str) -> list[str]:
    """Cmdlets that could change the server: the function reads."""
    return [name for name, _ in cmdlet_calls(source) if not re.search(r"\\Get-", name)]


def closed_section_list(source: str) -> list[str]:
    return re.findall(r"ValidateSet", source)


def unapproved_verbs(source: str) -> list[str]:
    return [name for name in function_names(source) if name.partition("-")[0] not in APPROVED_VERBS]


def positional_arguments(source: str) -> list[str]:
    """Calls that pass values without naming the parameter."""
    return [
        text(node)
        for node in nodes(tree(source), "command")
        if (elements := node.child_by_field_name("command_elements")) is not None
        and (first := next((e for e in elements.named_children if e.type != "command_argument_sep"), None))
        is not None
        and first.type != "command_parameter"
        and not text(first).startswith("@")
    ]


def loops_written_twice(source: str) -> list[str]:
    """What is done to each item at several places belongs into a part of its own."""
    loops = [text(node) for node in nodes(tree(source), "foreach_statement")]
    return [loop for loop in dict.fromkeys(loops) if loops.count(loop) > 1]


DOCUMENTED: dict[str, set[str]] = {
    "Get-DhcpServerv4Failover": set(),
    "Get-DhcpServerv4Scope": {"-ScopeId"},
    "Get-DhcpServerv4ScopeStatistics": {"-ScopeId", "-Failover"},
    "Get-DhcpServerv4Statistics": set(),
    "Get-DhcpServerSetting": set(),
    "Get-DhcpServerv4OptionValue": {"-ScopeId", "-All", "-Brief"},
    "Get-DhcpServerv4Reservation": {"-ScopeId"},
    "Get-DhcpServerv4ExclusionRange": {"-ScopeId"},
    "Get-DhcpServerv4Policy": {"-ScopeId"},
    "Get-DhcpServerv4PolicyIPRange": {"-ScopeId"},
    "Get-NetFirewallRule": {"-Name", "-PolicyStore"},
    "Get-NetFirewallPortFilter": {"-PolicyStore"},
    "Get-NetFirewallApplicationFilter": {"-PolicyStore"},
    "Get-NetFirewallAddressFilter": {"-PolicyStore"},
    "Get-CimInstance": {"-ClassName"},
    "Get-WinEvent": {"-LogName", "-FilterXPath", "-MaxEvents", "-Oldest"},
    "Get-Service": {"-Name"},
    "Get-ItemProperty": {"-Path"},
}
"""Parameters that we use and that Microsoft documents (learn.microsoft.com/powershell/module/...)."""


def undocumented_parameters(source: str) -> list[str]:
    allowed = {"-ErrorAction", "-ErrorVariable"}
    return [
        f"{name} {parameter}"
        for name, parameters in cmdlet_calls(source)
        for parameter in parameters
        if parameter not in allowed | DOCUMENTED.get(name.rpartition("\\")[2], set())
    ]


RULES: list[tuple[Rule, str]] = [
    (syntax_errors, "function Get-DhcpFailoverSnapshot { if ( }"),
    (not_ascii, "# gr\u00fcn"),
    (not_one_function, "function Get-DhcpFailoverSnapshot { }\nfunction Get-Other { }"),
    (without_error_action, "DhcpServer\\Get-DhcpServerv4Scope -ScopeId 10.0.0.0"),
    (without_error_action, "$x = @(foreach ($y in DhcpServer\\Get-DhcpServerv4Scope) { $y })"),
    (not_a_qualified_cmdlet, "gci -ErrorAction Stop"),
    (not_a_qualified_cmdlet, "$x | ForEach-Object -Process { $_ } -ErrorAction Stop"),
    (not_a_qualified_cmdlet, "Select-Object -Property Name -ErrorAction Stop"),
    (not_a_qualified_cmdlet, "netsh dhcp server show scope"),
    (from_other_modules, "ActiveDirectory\\Get-ADUser -ErrorAction Stop"),
    (for_the_screen, "Microsoft.PowerShell.Utility\\Format-Table -ErrorAction Stop"),
    (for_the_screen, "Microsoft.PowerShell.Utility\\Write-Host -Object 1 -ErrorAction Stop"),
    (against_the_partner, "DhcpServer\\Get-DhcpServerv4Scope -ComputerName dhcp02 -ErrorAction Stop"),
    (undocumented_parameters, "DhcpServer\\Get-DhcpServerv4Scope -Scope 10.0.0.0 -ErrorAction Stop"),
    (writing, "DhcpServer\\Remove-DhcpServerv4Scope -ErrorAction Stop"),
    (closed_section_list, "param([ValidateSet('server')] $Section)"),
    (unapproved_verbs, "function Fetch-Scope { }"),
    (positional_arguments, "Get-Thing 'DHCPServer' -ErrorAction Stop"),
    (loops_written_twice, "$x = foreach ($y in $z) { $y }\n$w = @(foreach ($y in $z) { $y })"),
]


@pytest.mark.parametrize("rule", {rule: None for rule, _ in RULES}, ids=lambda rule: rule.__name__)
def test_function_keeps_the_rule(rule: Rule) -> None:
    assert rule(SOURCE) == []


@pytest.mark.parametrize(("rule", "violation"), RULES)
def test_rule_catches_a_violation(rule: Rule, violation: str) -> None:
    assert rule(violation) != []


def test_function_has_the_parameters_of_the_contract() -> None:
    block = next(nodes(tree(SOURCE), "param_block"))
    assert [text(n) for n in block_variables(block)] == ["$Section", "$ScopeId", "$AfterEvent"]


def block_variables(block: Node) -> Iterator[Node]:
    for parameter in nodes(block, "script_parameter"):
        yield next(child for child in parameter.children if child.type == "variable")


def test_documents_carry_the_contract_version() -> None:
    assert f"contract = {CONTRACT_VERSION};" in SOURCE


def test_help_names_every_parameter() -> None:
    assert re.findall(r"\.PARAMETER (\w+)", SOURCE) == ["Section", "ScopeId", "AfterEvent"]
