"""The real programs that the end-to-end tests start: each on a free loopback port, each stopped at the end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import yaml

T = TypeVar("T")

# A client for each request would spend most of its time on reading certificates. No connection is kept: what the tests
# ask is stopped and started.
HTTP: Final = httpx.Client(limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))


def eventually(condition: Callable[[], T | None], timeout_seconds: float, what: str = "") -> T:
    """The first true value of the condition; fails with its last value when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        last = condition()
        if last:
            return last
        assert time.monotonic() < deadline, (
            f"not within {timeout_seconds} s: {what or condition}; last: {last!r}"
        )
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return HTTP.get(url, timeout=2).status_code == httpx.codes.OK
    return False


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose output goes to a file; it gets SIGTERM at the end, and SIGKILL if that is not enough."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            running.kill()
            running.wait()


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus, asked over its own API."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = HTTP.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The value of the only series of an expression; None without one."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def values(self, expression: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Values by the given labels."""
        return {
            tuple(series["metric"].get(label, "") for label in labels): float(series["value"][1])
            for series in self.query(expression)
        }

    def targets(self) -> list[dict[str, Any]]:
        answer = HTTP.get(f"{self.url}/api/v1/targets", timeout=30).json()
        active: list[dict[str, Any]] = answer["data"]["activeTargets"]
        return active


@contextlib.contextmanager
def prometheus(
    program: str, folder: Path, configuration: Mapping[str, Any], *flags: str
) -> Iterator[Prometheus]:
    """Run Prometheus with this configuration until the end of the block; ready when it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(dict(configuration)))
    port = free_port()
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *flags,
    ]
    server = Prometheus(f"http://127.0.0.1:{port}")
    with process(command, folder / "prometheus.log") as running:
        eventually(
            lambda: running.poll() is not None or answers(f"{server.url}/-/ready"), 30, "Prometheus is ready"
        )
        assert running.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
        yield server


def scrape_job(target: str, interval: str = "1s", **more: Any) -> dict[str, Any]:
    return {
        "job_name": "dhcp-failover",
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "static_configs": [{"targets": [target]}],
        **more,
    }


@dataclass(frozen=True)
class Exporter:
    """A running exporter; `running` is its process."""

    url: str
    running: subprocess.Popen[bytes]
    log: Path

    def metrics(self, *groups: str, **headers: str) -> str:
        answer = HTTP.get(f"{self.url}metrics", params={"collect[]": groups}, headers=headers, timeout=30)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.text

    def value(self, series: str) -> float | None:
        """The value of a series as it is written in the exposition, labels and all; None where it is absent."""
        found = [line for line in self.metrics().splitlines() if line.startswith(f"{series} ")]
        assert len(found) <= 1, found
        return float(found[0].rpartition(" ")[2]) if found else None

    def ask_now(self, server: str) -> None:
        """As somebody who knows that a silent server is back, until it answers.

        The exporter's own next try may be a minute off, and a probe just after a failed poll is told of that one.
        """
        up = f'dhcp_failover_up{{server="{server}"}} 1\n'
        eventually(
            lambda: up in HTTP.get(f"{self.url}probe", params={"target": server}, timeout=30).text,
            20,
            f"{server} answers",
        )

    def logged(self) -> str:
        return self.log.read_text()


@contextlib.contextmanager
def exporter(
    configuration: str, folder: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Iterator[Exporter]:
    """Run the exporter with this configuration until the end of the block; it listens when it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "exporter.yml").write_text(configuration)
    with started([f"--config.file={folder / 'exporter.yml'}", *flags], folder, environment) as running:
        yield running


@contextlib.contextmanager
def started(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Exporter]:
    """Run the program with these arguments on a free port, as `exporter` does."""
    log = folder / "exporter.log"
    program = str(Path(sys.executable).with_name("dhcp-failover-exporter"))
    command = [program, "--web.listen-address=127.0.0.1:0", *arguments]
    with process(command, log, environment) as running:
        eventually(
            lambda: running.poll() is not None or "msg=started" in log.read_text(), 20, "the exporter listens"
        )
        assert running.poll() is None, log.read_text()
        url = re.search(r"msg=started .*url=(\S+)", log.read_text())
        assert url, log.read_text()
        yield Exporter(url[1], running, log)
