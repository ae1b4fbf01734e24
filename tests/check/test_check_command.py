"""`check` as a user meets it: exit codes, JSON, the report's file."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from check.bench import PRIMARY, SECONDARY, Bench
from dhcp_failover_exporter import cli


def run(file: Path, *arguments: str) -> Any:
    return CliRunner().invoke(cli.main, ["--config.file", str(file), "check", *arguments])


@pytest.fixture
def file(bench: Bench) -> Path:
    path = bench.lab.folder / "exporter.yml"
    path.write_text(bench.lab.configuration(), encoding="utf-8")
    return path


@pytest.mark.wire
def test_all_fine_is_0_and_a_table(file: Path) -> None:
    result = run(file)
    assert result.exit_code == 0, result.output
    assert "  ok       logon" in result.output
    assert result.output.splitlines()[-1] == "2 servers: 1 notice"


@pytest.mark.wire
def test_a_finding_is_1_and_json_is_for_machines(file: Path, bench: Bench) -> None:
    bench.primary.break_("not_authorized")
    result = run(file, "--json", PRIMARY.upper())
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert [server["server"] for server in document["servers"]] == [PRIMARY], "only the server that was named"
    assert [found["id"] for found in document["servers"][0]["findings"]] == ["not_authorized"]


@pytest.mark.wire
def test_report_is_written_beside_the_table(file: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run(file, "--report", str(report), SECONDARY).exit_code == 0
    assert [server["server"] for server in json.loads(report.read_text())["servers"]] == [1]


def test_a_wrong_configuration_is_2(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("servers: 1", encoding="utf-8")
    assert run(wrong).exit_code == 2


def test_an_unknown_server_is_2(tmp_path: Path) -> None:
    right = tmp_path / "right.yml"
    right.write_text(
        "{credentials: {a: {username: b}}, servers: [{name: c, credential: a}]}", encoding="utf-8"
    )
    result = run(right, "elsewhere")
    assert (result.exit_code, "not in the configuration: elsewhere" in result.output) == (2, True)
