"""The command line, as a user meets it: the real program in a process of its own."""

import json
import logging
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import yaml
from click.testing import CliRunner

from dhcp_failover_exporter import __version__, cli, logs
from dhcp_failover_exporter.session import kerberos_available

SECRET = "hunter2-secret"


@pytest.fixture
def configuration(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration of servers that do not answer."""

    def write(port: int = 1, **changes: Any) -> Path:
        (tmp_path / "password").write_text(SECRET)
        file = tmp_path / "exporter.yml"
        content = {
            "credentials": {"lab": {"username": "LAB\\svc", "password_file": "password"}},
            "defaults": {
                "credential": "lab",
                "scheme": "http",
                "port": port,
                "auth": "ntlm",
                "address": "127.0.0.1",
                "intervals": {"state": "1s"},
            },
            "servers": [{"name": "dhcp01.lab.local"}, {"name": "dhcp02.lab.local"}],
        }
        file.write_text(yaml.safe_dump({**content, **changes}))
        return file

    return write


ELEVEN_MISTAKES = """
credentials:
  lab: {username: svc, password_file: missing, password: hunter2-secret}
  empty: nothing
defaults: {credential: lab, timeout: 10, colour: red}
servers:
  - {name: a, port: high}
  - {name: b, credential: nobody}
  - {name: b}
  - {name: c, auth: basic, scheme: http}
  - {address: 10.0.0.1}
polling: {enabled: perhaps}
"""


# --- without a process of its own -------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.main, arguments)


def test_version_is_the_package_s() -> None:
    assert run("--version").output.startswith(f"dhcp-failover-exporter, version {__version__} (python 3.")


def test_help_names_every_flag() -> None:
    output = run("--help").output
    for flag in (
        "--config.file FILE",
        "--config.check",
        "--web.listen-address",
        "--log.level",
        "--log.format",
    ):
        assert flag in output


def test_check_accepts_a_right_file(configuration: Any) -> None:
    result = run(f"--config.file={configuration()}", "--config.check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.output.endswith("right, 2 servers\n")


@pytest.mark.parametrize("arguments", [["--config.check"], []])
def test_eleven_mistakes_are_eleven_lines_and_exit_code_2(tmp_path: Any, arguments: Any) -> None:
    """With --config.check and at start alike."""
    file = tmp_path / "wrong.yml"
    file.write_text(ELEVEN_MISTAKES)
    result = run(f"--config.file={file}", *arguments)
    assert result.exit_code == 2
    head, *lines = result.stderr.splitlines()
    assert head == f"{file} cannot be used:"
    assert len(lines) == 11, lines
    assert all(re.match(r"  line \d+: [a-z]\S+: \w", line) for line in lines)
    assert "hunter2" not in result.output
    assert result.stdout == ""


def test_a_missing_file_is_named_with_the_flag_for_another(tmp_path: Any) -> None:
    result = run(f"--config.file={tmp_path / 'none.yml'}")
    assert result.exit_code == 2
    assert result.stderr == (
        f"{tmp_path / 'none.yml'} cannot be used:\n"
        "  file: cannot be read: No such file or directory; name another with --config.file=FILE\n"
    )


@pytest.mark.parametrize("command", [["check"], ["diff", "a-relationship"]])
def test_the_file_may_be_named_before_or_after_the_command(tmp_path: Any, command: Any) -> None:
    file = tmp_path / "none.yml"
    before = run(f"--config.file={file}", *command)
    assert f"{file} cannot be used" in before.stderr
    for after in (run(*command, f"--config.file={file}"), run(*command, "--config.file", str(file))):
        assert (after.exit_code, after.stderr) == (2, before.stderr)
    assert "--config.file FILE" in run(command[0], "--help").output


def test_a_wrong_address_is_named(configuration: Any) -> None:
    result = run(f"--config.file={configuration()}", "--web.listen-address=9647")
    assert result.exit_code == 2
    assert "'9647' is no listen address: write :9647, 127.0.0.1:9647 or [::1]:9647" in result.stderr


def test_demo_without_the_simulator_says_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "dhcp_failover_exporter.simulator.lab", None)
    result = run("demo")
    assert result.exit_code == 1
    assert "pip install 'dhcp-failover-exporter[demo]'" in result.stderr


# --- the real process -------------------------------------------------------------------------------------


class Process:
    """The running exporter: where it serves, what it logs."""

    def __init__(self, *arguments: str) -> None:
        program = Path(sys.executable).with_name("dhcp-failover-exporter")
        self.popen = subprocess.Popen(
            [program, "--web.listen-address=127.0.0.1:0", "--log.format=json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict[str, Any]] = []
        self.url = str(self.logged("started")["url"])
        self.client = httpx.Client(base_url=self.url, timeout=10)

    def logged(self, message: str) -> dict[str, Any]:
        """The next line with that message; pytest's timeout ends a wait for what never comes."""
        assert self.popen.stderr
        for line in self.popen.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["msg"] == message:
                return self.lines[-1]
        raise AssertionError(f"ended without {message!r}: {self.lines}")

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Exit code, and the seconds until it was there."""
        started = time.monotonic()
        self.popen.send_signal(number)
        return self.popen.wait(20), time.monotonic() - started


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def begin(*arguments: str) -> Process:
        processes.append(Process(*arguments))
        return processes[-1]

    yield begin
    for process in processes:
        process.popen.kill()
        process.popen.wait()
        assert process.popen.stdout
        assert process.popen.stderr
        process.client.close()
        process.popen.stdout.close()
        process.popen.stderr.close()


@pytest.fixture
def hung_server() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.wire
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_though_servers_hang_and_a_client_idles(
    configuration: Any, start: Any, hung_server: Any, number: Any
) -> None:
    process = start(f"--config.file={configuration(hung_server)}")
    url = httpx.URL(process.url)
    with socket.create_connection((url.host, url.port)):
        assert process.get("-/healthy").status_code == 200
        code, seconds = process.end(number)
    assert code == 0
    assert seconds < 5


@pytest.mark.wire
def test_sighup_reloads_and_a_bad_file_changes_nothing(configuration: Any, start: Any) -> None:
    process = start(f"--config.file={configuration()}")
    configuration(servers=[{"name": "dhcp09.lab.local"}])
    process.popen.send_signal(signal.SIGHUP)
    assert process.logged("configuration loaded")["servers"] == 1
    file = configuration(servers=[{"name": "dhcp09.lab.local", "port": "high"}])
    process.popen.send_signal(signal.SIGHUP)
    refused = process.logged("configuration refused, the old one stays in force")
    assert refused["file"] == str(file)
    assert ": servers[0].port: " in refused["mistake"]
    assert "dhcp09.lab.local" in process.get("config").text
    assert process.end()[0] == 0


@pytest.mark.wire
def test_an_address_in_use_is_one_sentence(configuration: Any, start: Any) -> None:
    process = start(f"--config.file={configuration()}")
    address = f"127.0.0.1:{httpx.URL(process.url).port}"
    result = run(f"--config.file={configuration()}", f"--web.listen-address={address}")
    assert result.exit_code == 1
    assert f"cannot listen on {address}: Address already in use" in result.stderr


@pytest.mark.wire
def test_logs_show_no_secret_even_at_debug(configuration: Any, start: Any) -> None:
    process = start(f"--config.file={configuration()}", "--log.level=debug")
    process.logged("poll failed")
    process.end()
    assert process.popen.stderr
    assert SECRET not in json.dumps(process.lines) + process.popen.stderr.read()


@pytest.mark.wire
def test_servers_that_do_not_answer_are_up_0_on_metrics(configuration: Any, start: Any) -> None:
    process = start(f"--config.file={configuration()}")
    process.logged("poll failed")
    process.logged("poll failed")
    text = process.get("metrics").text
    assert 'dhcp_failover_up{server="dhcp01.lab.local"} 0' in text
    assert 'dhcp_failover_poll_failed{server="dhcp02.lab.local",reason="unreachable"} 1' in text


@pytest.mark.wire
@pytest.mark.parametrize(("auth", "told"), [("negotiate", True), ("ntlm", False)])
def test_negotiate_that_can_only_be_ntlm_is_told(
    configuration: Any, start: Any, auth: str, told: bool
) -> None:
    told = told and not kerberos_available()
    file = configuration(servers=[{"name": "dhcp01.lab.local", "auth": auth}])
    process = start(f"--config.file={file}", "--log.level=info")
    process.logged("poll failed")
    assert any("means NTLM here" in line["msg"] for line in process.lines) is told


@pytest.mark.wire
def test_demo_shows_two_relationships_normal_from_both_partners(start: Any) -> None:
    """The README's first command, from its text to its end."""
    process = start("demo")
    normal = re.compile(r'^dhcp_failover_state\{server="([^"]+)",.*state="Normal"\} 1$', re.MULTILINE)
    ends = time.monotonic() + 60
    while len(found := normal.findall(process.get("metrics").text)) < 4:
        assert time.monotonic() < ends, found
        time.sleep(0.1)
    assert found == [f"dhcp0{number}.lab.local" for number in (1, 2, 3, 4)]
    assert process.end()[0] == 0
    assert process.popen.stdout
    said = process.popen.stdout.read()
    assert f"metrics      {process.url}metrics" in said
    assert len(re.findall(r"^  \d\. ", said, re.MULTILINE)) == 5


# --- logs -------------------------------------------------------------------------------------------------


def test_logfmt_keeps_a_hostile_value_on_its_line(capsys: Any) -> None:
    logs.configure("info", "logfmt")
    structlog.get_logger().info("met", server='x"\nlevel=error msg=forged')
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].split(" ", 1)[1].startswith('level=info msg=met server="x\\"')


def test_level_applies_to_libraries_too(capsys: Any) -> None:
    logs.configure("error", "json")
    structlog.get_logger().warning("not shown")
    logging.getLogger("library").warning("not shown either")
    structlog.get_logger().error("shown")
    assert [json.loads(line)["msg"] for line in capsys.readouterr().err.splitlines()] == ["shown"]
