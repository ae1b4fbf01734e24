"""What the README says is true: tables, samples and flags are compared with what the code does."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dhcp_failover_exporter import cli, config
from dhcp_failover_exporter.exposition import fresh_seconds
from dhcp_failover_exporter.metrics import CATALOGUE, GROUPS, PREFIX

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def metrics_table() -> str:
    rows = [
        f"| `{family.name.removeprefix(PREFIX)}` | {family.kind} | {', '.join(family.labels)} | {family.help} |"
        for family in CATALOGUE.values()
    ]
    return "\n".join(["| family | type | labels | meaning |", "|---|---|---|---|", *rows])


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str, title: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section(title), re.DOTALL)


def first_cells(title: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)`", section(title), re.MULTILINE))


def test_the_metrics_are_the_catalogue() -> None:
    """To bring the README up to date: python tests/test_readme.py."""
    assert README.partition("<!-- metrics -->\n")[2].partition("\n<!-- /metrics -->")[0] == metrics_table()


def test_every_alert_is_told_with_its_severities() -> None:
    rules = yaml.safe_load((ROOT / "alerts/dhcp-failover.rules.yml").read_text())
    alerts: dict[str, set[str]] = {}
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        alerts.setdefault(rule["alert"].removeprefix("DhcpFailover"), set()).add(rule["labels"]["severity"])
    told = re.findall(
        r"^\| ([A-Z]\w+) \| (critical|warning)(?:; (warning))? \|", section("Alerts"), re.MULTILINE
    )
    assert {name: set(filter(None, severities)) for name, *severities in told} == alerts


def test_the_sample_configuration_is_right(tmp_path: Path) -> None:
    (sample,) = blocks("yaml", "Configuration")
    for name in ("/etc/dhcp-failover-exporter/password", "/etc/ssl/lab-ca.pem"):
        (tmp_path / Path(name).name).touch()
        sample = sample.replace(name, Path(name).name)
    settings = config.parse(sample, tmp_path)
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
    start, end = "<!-- metrics -->\n", "\n<!-- /metrics -->"
    before, _, rest = README.partition(start)
    after = rest.partition(end)[2] if end in rest else rest.partition("<!-- /metrics -->")[2]
    (ROOT / "README.md").write_text(f"{before}{start}{metrics_table()}{end}{after}")
