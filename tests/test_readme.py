"""What the README says is true: tables, samples and flags are compared with what the code does."""

import configparser
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import pytest
import yaml
from click.testing import CliRunner
from isal import igzip

from collector import test_powershell as powershell
from dhcp_failover_exporter import cli, config, jea
from dhcp_failover_exporter.exposition import Publication, Published, fresh_seconds, join
from dhcp_failover_exporter.exposition import blocks as blocks_of
from dhcp_failover_exporter.failover import Naming, topology
from dhcp_failover_exporter.metrics import CATALOGUE, GROUPS, PREFIX, PollHealth, View, samples
from dhcp_failover_exporter.simulator.collector import COMMAND, Collector
from dhcp_failover_exporter.simulator.windows import static_pair
from dhcp_failover_exporter.snapshot import SECTIONS, Relationship, parse
from dhcp_failover_exporter.web import view
from dhcp_failover_exporter.web.advice import Severity

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def metrics_table() -> str:
    rows = [
        f"| `{family.name.removeprefix(PREFIX)}` | {family.kind} | {', '.join(family.labels)} | {family.help} |"
        for family in CATALOGUE.values()
    ]
    return "\n".join(["| family | type | labels | meaning |", "|---|---|---|---|", *rows])


API_OBJECTS = {
    view.PairView: "pair",
    view.RelationshipView: "relationship",
    view.Side: "side",
    view.Port: "port",
    view.Pool: "pool",
    view.ScopeView: "scope",
    view.Parameter: "parameter",
    view.Problem: "problem",
    view.ServerView: "server",
    view.Refusal: "refusal",
}
API_TYPES: dict[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Ellipsis: "...",
    Severity: "severity",
    **API_OBJECTS,
}


def api_table() -> str:
    rows = [
        f"| {name} | {', '.join(f'`{field}` {api_type(kind)}' for field, kind in get_type_hints(shape).items())} |"
        for shape, name in API_OBJECTS.items()
    ]
    return "\n".join(["| object | fields |", "|---|---|", *rows])


def api_type(kind: Any) -> str:
    if kind in API_TYPES:
        return API_TYPES[kind]
    parts = dict.fromkeys(map(api_type, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"[{', '.join(map(api_type, get_args(kind)))}]"
    return " or ".join(parts)


def generated(name: str) -> str:
    """What the README has between the marks of that name."""
    return README.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


GENERATED = {"metrics": metrics_table, "api": api_table}


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str, title: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(title), re.DOTALL)


def first_cells(title: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)`", section(title), re.MULTILINE))


@pytest.mark.parametrize("name", GENERATED)
def test_the_tables_are_what_the_code_says(name: str) -> None:
    """To bring the README up to date: python tests/test_readme.py."""
    assert generated(name) == GENERATED[name]()


def test_every_alert_is_told_with_its_severities() -> None:
    rules = yaml.safe_load((ROOT / "alerts/dhcp-failover.rules.yml").read_text())
    alerts: dict[str, set[str]] = {}
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        alerts.setdefault(rule["alert"].removeprefix("DhcpFailover"), set()).add(rule["labels"]["severity"])
    told = re.findall(
        r"^\| ([A-Z]\w+) \| (critical|warning)(?:; (warning))? \|", section("Alerts"), re.MULTILINE
    )
    assert {name: set(filter(None, severities)) for name, *severities in told} == alerts


def parsed(sample: str, folder: Path) -> config.Settings:
    """With the files that the sample names, which are those of another machine."""
    for name in re.findall(r"/etc/[\w./-]+", sample):
        (folder / Path(name).name).touch()
        sample = sample.replace(name, Path(name).name)
    return config.parse(sample, folder)


def test_the_sample_configuration_is_right(tmp_path: Path) -> None:
    (sample,) = blocks("yaml", "Configuration")
    settings = parsed(sample, tmp_path)
    assert [server.address for server in settings.servers] == ["dhcp01.lab.local", "10.0.0.2"]


def test_the_defaults_in_the_sample_are_the_defaults() -> None:
    (sample,) = blocks("yaml", "Configuration")
    written = yaml.safe_load(sample)["defaults"]
    server = config.ServerSettings(name="d", credential=config.Credential(name="c"))
    for key in ("auth", "scheme", "port", "configuration_name", "scope_metrics"):
        assert written[key] == getattr(server, key), key
    assert (written["timeout"], server.timeout_seconds) == ("10s", 10.0)
    assert written["intervals"] == {"state": "15s", "pools": "1m", "checks": "15m", "audit": "1h"}
    assert server.intervals == config.Intervals(
        state_seconds=15.0, pools_seconds=60.0, checks_seconds=900.0, audit_seconds=3600.0
    )


def test_the_cadences_are_the_groups() -> None:
    told = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", section("Configuration"), re.MULTILINE)
    assert {name: tuple(sections.split(", ")) for name, sections in told} == dict(GROUPS)


def test_how_old_data_may_be_is_what_the_join_lets_through() -> None:
    told = re.search(r"nothing of `state` is older than (\d+) s, of `pools` than (\d+) s", README)
    intervals = config.Intervals()
    assert told
    assert [float(seconds) for seconds in told.groups()] == [
        fresh_seconds(intervals.state_seconds, 10.0),
        fresh_seconds(intervals.pools_seconds, 10.0),
    ]


def test_the_flags_are_told_with_their_defaults() -> None:
    told = dict(cell.split("=", 1) for cell in first_cells("Install") if "=" in cell)
    assert told == {
        name: str(parameter.default)
        for parameter in cli.main.params
        for name in parameter.opts
        if isinstance(parameter, click.Option) and not parameter.is_flag
    }


@pytest.mark.parametrize("command", ["check", "diff"])
def test_exit_codes_are_those_in_the_command_s_help(command: str) -> None:
    (codes,) = re.findall(r"Exit codes: ([^.]+)\.", cli.main.commands[command].help or "")
    (told,) = re.findall(rf"^\| `{command}\b[^|]*\|(.*)\|$", section("Install"), re.MULTILINE)
    assert f"Exit codes: {codes}" in told


def test_the_unit_starts_what_the_install_section_installs() -> None:
    (unit,) = blocks("ini", "Install")
    service = configparser.ConfigParser(interpolation=None)
    service.optionxform = str  # type: ignore[assignment,method-assign]  # documented way to keep letter case
    service.read_string(unit)
    program, *flags = service["Service"]["ExecStart"].split()
    assert f"\n{program} {' '.join(flags)}\n" in "".join(blocks("sh", "Install"))
    name, source = service["Service"]["LoadCredential"].split(":")
    assert f"`password_file: /run/credentials/dhcp-failover-exporter.service/{name}`" in section("Install")
    assert f"password_file: {source}\n" in section("Configuration")
    assert service["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["Service"]["RestartPreventExitStatus"] == str(cli.WRONG_CONFIGURATION)


PREPARE = "Prepare the DHCP servers"
SCRIPT = "Install-DhcpFailoverExporter.ps1"


def script_parameters() -> dict[str, set[str]]:
    """Those of the installation script, each with the values that it may have where those are limited."""
    source = jea.contents("Monitors")[SCRIPT].partition("\nparam(")[2].partition("\n)")[0]
    found = re.findall(r"(?:ValidateSet\(([^)]*)\)\]\s*)?\[[\w\[\]]+\] \$(\w+)", source)
    return {f"-{name}": set(re.findall(r"'(\w+)'", values)) for values, name in found}


def script_calls() -> list[list[str]]:
    """Arguments of each line that runs the script."""
    lines = "".join(blocks("powershell", PREPARE)).splitlines()
    return [shlex.split(line, posix=False)[1:] for line in lines if line.startswith(f".\\{SCRIPT}")]


def test_every_logon_has_a_configuration_that_is_right(tmp_path: Path) -> None:
    samples = [parsed(sample, tmp_path) for sample in blocks("yaml", PREPARE)]
    servers = [server for settings in samples for server in settings.servers]
    assert {server.configuration_name for server in servers} == {jea.ENDPOINT}
    assert {(server.scheme, server.auth) for server in servers} == {
        ("http", "kerberos"),
        ("http", "ntlm"),
        ("https", "kerberos"),
        ("https", "certificate"),
    }


def test_what_needs_an_administrator_is_off_in_every_least_privilege_configuration(tmp_path: Path) -> None:
    for sample in blocks("yaml", PREPARE):
        assert all("firewall" not in server.sections for server in parsed(sample, tmp_path).servers)
    assert {arguments[arguments.index("-RunAs") + 1] for arguments in script_calls()} == {
        "Users",
        "ManagedAccount",
    }


def test_the_files_are_those_that_jea_writes() -> None:
    table = section(PREPARE).partition("| file |")[2].partition("\n\n")[0]
    told = [cell.rstrip("\\") for cell in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)]
    assert told == list(dict.fromkeys(name.partition("/")[0] for name in jea.contents("Monitors", "gmsa$")))


def test_the_jea_commands_write_the_files(tmp_path: Path) -> None:
    lines = re.findall(r"^dhcp-failover-exporter (jea .*?)(?: +#.*)?$", section(PREPARE), re.MULTILINE)
    assert len(lines) == 2
    for number, line in enumerate(lines):
        arguments = shlex.split(line.replace("--output jea", f"--output {tmp_path / str(number)}"))
        assert CliRunner().invoke(cli.main, arguments).exit_code == 0, line
        assert (tmp_path / str(number) / SCRIPT).is_file()


def test_the_powershell_is_powershell() -> None:
    samples = blocks("powershell", PREPARE)
    assert len(samples) >= 6
    for sample in samples:
        assert powershell.syntax_errors(sample) == [], sample
        assert powershell.not_ascii(sample) == [], sample


def test_the_script_has_the_parameters_that_it_is_given() -> None:
    parameters = script_parameters()
    assert set(parameters) == {"-RunAs", "-Account", "-ExporterAddress", "-CertificateThumbprint"}
    assert len(script_calls()) == 4
    for arguments in script_calls():
        given = {argument for argument in arguments if argument.startswith("-")}
        assert "-Account" in given  # or its test at the end would be left out
        assert given <= set(parameters) | {"-WhatIf"}
    named = set(re.findall(r"`(-[A-Z]\w+)[^`]*`", section(PREPARE)))
    assert named <= set(parameters) | {"-WhatIf"}


def test_whom_to_run_as_is_what_the_script_takes() -> None:
    table = section(PREPARE).partition("| server | `-RunAs` |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| [^|]+ \| `(\w+)` \| `(\w+)` \|", table, re.MULTILINE)
    assert [first for first, _ in told] == ["Users"] * 3
    assert {name for row in told for name in row} == script_parameters()["-RunAs"]
    assert script_parameters()["-RunAs"] == {
        Path(name).stem for name in jea.contents("Monitors", "gmsa$") if name.endswith(".pssc")
    }


ScopeMetrics = Literal["all", "failover", "none"]


def exposed(members: int, alone: int, scope_metrics: ScopeMetrics) -> bytes:
    """What /metrics has of one server of a simulated pair."""
    pair = static_pair(load_balance_scopes=members, hot_standby_scopes=0, unprotected_scopes=alone)
    caller = SimpleNamespace(endpoint=SimpleNamespace(language="FullLanguage"))
    caller.account, caller.shell_id = SimpleNamespace(username="svc"), "shell"
    documents = list(
        Collector(pair.primary, sleep=lambda _: None).invoke(COMMAND, {"Section": list(SECTIONS)}, caller)
    )
    sections = parse(documents, SECTIONS)
    relationships = [it for it in sections["relationships"].records if isinstance(it, Relationship)]
    server = pair.primary.fqdn
    view = View(topology(relationships, Naming(), server), scope_metrics=scope_metrics)
    published = {
        name: Published(name, 0.0, 60.0, blocks_of(server, samples(it, view)))
        for name, it in sections.items()
    }
    health = PollHealth("10.0.0.1", "ntlm", "lab", answered=0.0, fresh_seconds=60.0)
    return join([Publication(server, health, published)], 0.0)


@pytest.mark.parametrize(("kind", "members", "alone"), [("in failover", 60, 10), ("outside", 10, 60)])
def test_a_scope_costs_what_is_told(kind: str, members: int, alone: int) -> None:
    found = re.search(rf"{kind} (?:is|adds) (\d+) series, about ([\d.]+) kB \(([\d.]+) kB gzipped\)", README)
    assert found
    few, many = (exposed(*scopes, "all") for scopes in ((10, 10), (members, alone)))
    assert int(found[1]) == (many.count(b"\ndhcp_failover_") - few.count(b"\ndhcp_failover_")) / 50
    assert float(found[2]) == pytest.approx((len(many) - len(few)) / 50_000, rel=0.1)
    packed = [len(igzip.compress(text, 1)) for text in (few, many)]
    assert float(found[3]) == pytest.approx((packed[1] - packed[0]) / 50_000, rel=0.25)


def test_scope_metrics_leaves_out_what_is_told() -> None:
    shown = {it: set(re.findall(rb'scope="([^"]+)"', exposed(5, 5, it))) for it in get_args(ScopeMetrics)}
    assert {it: len(scopes) for it, scopes in shown.items()} == {"all": 10, "failover": 5, "none": 0}
    rules = yaml.safe_load((ROOT / "alerts/dhcp-failover.rules.yml").read_text())
    unprotected = [
        rule["alert"].removeprefix("DhcpFailover")
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule and re.search("scope_unprotected|split_scope", rule["expr"])
    ]
    assert len(unprotected) == 2
    for alert in unprotected:
        assert re.search(rf"failover`[^.]*\b{alert}\b", section("Configuration")), alert


def test_the_flags_and_commands_exist_and_none_is_left_out() -> None:
    told = {re.split(r"[ =]", cell)[0] for cell in first_cells("Install")}
    flags = {name for parameter in cli.main.params for name in parameter.opts if name != "--help"}
    assert told == flags | set(cli.main.commands)


@pytest.mark.parametrize("command", ["check", "diff", "jea", "demo"])
def test_every_command_explains_itself(command: str) -> None:
    assert CliRunner().invoke(cli.main, [command, "--help"]).exit_code == 0


def test_the_prometheus_samples_are_yaml_with_a_job() -> None:
    for sample in blocks("yaml", "Prometheus"):
        assert yaml.safe_load(sample)["scrape_configs"][0]["job_name"].startswith("dhcp-failover")


def test_the_picture_and_every_linked_file_is_there() -> None:
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_two_commands_are_the_ones_that_are_tried_on_a_fresh_machine() -> None:
    assert (
        "sudo apt-get install -y python3-venv && python3 -m venv .venv && .venv/bin/pip install '.[demo]'"
        " && .venv/bin/dhcp-failover-exporter demo\n"
    ) in README
    assert "```sh\ntests/run\n```" in README


if __name__ == "__main__":
    for name, table in GENERATED.items():
        before, start, rest = README.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        README = f"{before}{start}{table()}\n{end}{after}"
    (ROOT / "README.md").write_text(README)
