"""Statistics of 1,000 scopes: one call on a kept session beside one command per scope.

    python tests/bench/bench_calls.py [scopes]

Real HTTP with NTLM and message encryption on loopback; the host is a process of its own, so that the CPU
time is the exporter's alone. Ends with status 1 if the factor is below 100.
"""

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from dhcp_failover_exporter.config import Credential, ServerSettings
from dhcp_failover_exporter.session import PsrpSession, quiet_libraries
from dhcp_failover_exporter.simulator.wsman import Account, Caller, WinRM

PASSWORD = "simulated"
REQUIRED_FACTOR = 100
COUNTS = (
    "AddressesFree",
    "AddressesInUse",
    "PendingOffers",
    "ReservedAddress",
    "AddressesFreeOnThisServer",
    "AddressesFreeOnPartnerServer",
    "AddressesInUseOnThisServer",
    "AddressesInUseOnPartnerServer",
)


class Host:
    """Answers the statistics section, for all scopes or for those asked for."""

    def __init__(self, scopes: list[str]) -> None:
        self.scopes = scopes

    def invoke(self, _command: str, parameters: Mapping[str, object], _caller: Caller) -> Iterator[str]:
        asked = parameters.get("ScopeId") or self.scopes
        assert isinstance(asked, list)
        record = {**dict.fromkeys(COUNTS, 117), "PercentageInUse": 46.85}
        data = [{"ScopeId": scope, **record} for scope in asked]
        yield json.dumps(
            {"contract": 1, "section": "statistics", "part": 1, "parts": 1, "elapsed": 0.1, "data": data}
        )


@dataclass(frozen=True)
class Cost:
    """What a way to ask costs the exporter."""

    cpu_milliseconds: float
    seconds: float
    requests: int
    records: int


def serve(scopes: list[str], pipe: Connection) -> None:
    """Run the host; every message asks for the number of requests so far."""
    with WinRM(Host(scopes), [Account("svc", PASSWORD)], gather_seconds=0.0) as host:
        pipe.send(host.port)
        while pipe.recv():
            pipe.send(host.requests)


def measured(work: Callable[[], int], pipe: Connection) -> Cost:
    """Do the work; its result is the number of records received."""
    before = requests(pipe)
    wall, cpu = time.perf_counter(), time.process_time()
    records = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(cpu * 1000, wall, requests(pipe) - before, records)


def requests(pipe: Connection) -> int:
    """HTTP requests that the host has answered so far."""
    pipe.send(True)
    number: int = pipe.recv()
    return number


def one_call(session: PsrpSession, scopes: list[str]) -> int:
    """All scopes at once, as the exporter asks."""
    documents = session.collect(["statistics"], timeout_seconds=30).documents
    records = sum(len(json.loads(document)["data"]) for document in documents)
    assert records == len(scopes)
    return records


def one_command_per_scope(session: PsrpSession, scopes: list[str]) -> int:
    """The same on the same kept session, scope by scope."""
    return sum(
        len(json.loads(document)["data"])
        for scope in scopes
        for document in session.collect(["statistics"], [scope], timeout_seconds=30).documents
    )


def best(costs: list[Cost]) -> Cost:
    """The run that was disturbed least."""
    return min(costs, key=lambda cost: cost.cpu_milliseconds)


def report(ours: Cost, theirs: Cost, scopes: int) -> bool:
    """Print both and say whether the factor is reached."""
    print(f"statistics of {scopes} scopes     CPU ms      wall s   requests")
    for name, cost in (("one call, kept session", ours), ("one command per scope", theirs)):
        print(f"{name:28}{cost.cpu_milliseconds:9.1f}{cost.seconds:12.3f}{cost.requests:11}")
    cpu = theirs.cpu_milliseconds / ours.cpu_milliseconds
    sent = theirs.requests / ours.requests
    print(f"{'times less':28}{cpu:9.0f}{theirs.seconds / ours.seconds:12.0f}{sent:11.0f}")
    return min(cpu, sent) >= REQUIRED_FACTOR


def main(number: int) -> int:
    """Measure, print, and give the exit status."""
    quiet_libraries()
    scopes = [f"10.{n // 250}.{n % 250}.0" for n in range(number)]
    here, there = multiprocessing.Pipe()
    host = multiprocessing.Process(target=serve, args=(scopes, there), daemon=True)
    host.start()
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "password"
        secret.write_text(PASSWORD)
        session = PsrpSession(
            ServerSettings(
                name="127.0.0.1",
                port=here.recv(),
                scheme="http",
                auth="ntlm",
                credential=Credential(name="bench", username="svc", password_file=secret),
            )
        )
        one_call(session, scopes)
        ours = best([measured(lambda: one_call(session, scopes), here) for _ in range(10)])
        theirs = measured(lambda: one_command_per_scope(session, scopes), here)
        session.close()
    here.send(False)
    host.join()
    return 0 if report(ours, theirs, number) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
