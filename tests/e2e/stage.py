"""The stage of the paging tests: simulated pairs, exporter, Prometheus, Alertmanager and who is paged.

Rules and routes are those that are shipped, run faster by one factor.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from dhcp_failover_exporter.simulator.lab import Host, Lab
from dhcp_failover_exporter.simulator.windows import Pair
from e2e.scale import scaled, scaled_duration
from e2e.servers import (
    Exporter,
    Prometheus,
    answers,
    eventually,
    exporter,
    free_port,
    process,
    prometheus,
    scrape_job,
)

ALERTS = Path(__file__).parents[2] / "alerts"
FACTOR = 1 / 100
INTERVALS = {"state": "3s", "pools": "5s", "checks": "8s", "audit": "12s"}
STATE_SECONDS, POOLS_SECONDS, CHECKS_SECONDS, AUDIT_SECONDS = 3.0, 5.0, 8.0, 12.0
SCRAPE_SECONDS = 2.0
EVALUATION_SECONDS = 1.0


@dataclass(frozen=True)
class Notification:
    """One webhook call: when, at which receiver, and what it said."""

    at: float
    receiver: str
    body: dict[str, Any]

    @property
    def pair(self) -> str:
        pair: str = self.body["groupLabels"].get("pair", "")
        return pair

    @property
    def firing(self) -> set[str]:
        """Names of the alerts that fire, without the prefix that all share."""
        return {
            alert["labels"]["alertname"].removeprefix("DhcpFailover")
            for alert in self.body["alerts"]
            if alert["status"] == "firing"
        }

    def text(self, name: str) -> str:
        """Everything that one alert of the notification tells a person."""
        return "\n".join(
            text
            for alert in self.body["alerts"]
            if alert["labels"]["alertname"] == f"DhcpFailover{name}"
            for text in alert["annotations"].values()
        )

    def severities(self, name: str) -> set[str]:
        return {
            alert["labels"]["severity"]
            for alert in self.body["alerts"]
            if alert["labels"]["alertname"] == f"DhcpFailover{name}" and alert["status"] == "firing"
        }


class Receiver:
    """Who is paged: keeps every notification in order."""

    def __init__(self) -> None:
        self.notifications: list[Notification] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.notifications.append(Notification(time.monotonic(), self.path.strip("/"), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port

    def sent(self, receiver: str, pair: str) -> list[Notification]:
        return [each for each in self.notifications if (each.receiver, each.pair) == (receiver, pair)]

    def pages(self, receiver: str, pair: str) -> int:
        """How often a group turned from silent to firing: what wakes a person up."""
        firing = [bool(each.firing) for each in self.sent(receiver, pair)]
        return sum(now and not before for before, now in zip([False, *firing], firing, strict=False))


@dataclass
class Stage:
    """Everything that runs, and what happened on it."""

    lab: Lab
    exporter: Exporter
    prometheus: Prometheus
    receiver: Receiver

    def paged(self, pair: str, *names: str, receiver: str = "pager", within: float = 60) -> Notification:
        """The first notification about the pair in which all these alerts fire."""

        def found() -> Notification | None:
            sent = self.receiver.sent(receiver, pair)
            return next((each for each in sent if each.firing >= set(names)), None)

        return eventually(found, within, f"{receiver} hears of {names} about {pair!r}; {self._told(pair)}")

    def resolved(self, pair: str, *, receiver: str = "pager", within: float = 60) -> Notification:
        """The last notification about the pair, once it says that nothing fires any more."""

        def found() -> Notification | None:
            sent = self.receiver.sent(receiver, pair)
            return sent[-1] if sent and not sent[-1].firing else None

        return eventually(found, within, f"{receiver} hears that {pair!r} is resolved; {self._told(pair)}")

    def state(self, host: Host, state: str, within: float = 30) -> None:
        """Wait until the simulated server is in this state in all its relationships."""
        eventually(
            lambda: {reached for _, reached in host.states()} == {state},
            within,
            f"{host.name} reaches {state}",
        )

    def _told(self, pair: str) -> list[tuple[str, list[str]]]:
        return [
            (each.receiver, sorted(each.firing))
            for each in self.receiver.notifications
            if each.pair == pair and each.receiver != "desk"
        ]


def rules(folder: Path) -> Path:
    """The shipped rules at the stage's pace; the evaluation interval is the stage's, like the scrape interval."""
    shipped = (ALERTS / "dhcp-failover.rules.yml").read_text()
    # Two polls: what may be missed once in 5 min must not be missed for good in 3 s.
    document = yaml.safe_load(scaled(shipped, FACTOR, shortest_range=f"{2 * STATE_SECONDS:.0f}s"))
    for group in document["groups"]:
        group["interval"] = f"{EVALUATION_SECONDS:.0f}s"
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
    return path


def routes(folder: Path, receiver_port: int) -> Path:
    """The shipped routes at the stage's pace, with the receivers at this port."""
    document = yaml.safe_load((ALERTS / "alertmanager.yml").read_text())
    for key in ("group_wait", "group_interval"):
        document["route"][key] = scaled_duration(document["route"][key], FACTOR)
    for receiver in document["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"http://127.0.0.1:{receiver_port}/{receiver['name']}"
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@contextlib.contextmanager
def alertmanager(program: str, folder: Path, receiver_port: int) -> Iterator[str]:
    """Run Alertmanager until the end of the block; its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={routes(folder, receiver_port)}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with process(command, folder / "alertmanager.log"):
        eventually(lambda: answers(f"http://{address}/-/ready"), 20, "Alertmanager is ready")
        yield address


@contextlib.contextmanager
def stage(pairs: Sequence[Pair], program: Callable[[str], str], folder: Path) -> Iterator[Stage]:
    """All of it, watched and quiet, until the end of the block."""
    with contextlib.ExitStack() as running:
        lab = running.enter_context(Lab(pairs))
        receiver = running.enter_context(Receiver())
        configuration = lab.configuration(intervals=INTERVALS, timeout="6s")
        watching = running.enter_context(exporter(configuration, folder / "exporter"))
        alerting = running.enter_context(
            alertmanager(program("prometheus-alertmanager"), folder, receiver.port)
        )
        scraping = {
            "global": {"evaluation_interval": f"{EVALUATION_SECONDS:.0f}s"},
            "rule_files": [str(rules(folder))],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerting]}]}]},
            "scrape_configs": [scrape_job(httpx.URL(watching.url).netloc.decode(), f"{SCRAPE_SECONDS:.0f}s")],
        }
        asked = running.enter_context(prometheus(program("prometheus"), folder / "prometheus", scraping))
        made = Stage(lab, watching, asked, receiver)
        eventually(
            lambda: (
                asked.value("sum(dhcp_failover:up:held)") == len(lab.hosts)
                and asked.value("count(dhcp_failover:state:held)")
                == 2 * sum(len(p.relationships) for p in pairs)
            ),
            40,
            "every server is watched",
        )
        yield made
