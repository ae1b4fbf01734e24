"""How much cheaper joined blocks are than prometheus_client, side by side in one run.

    .venv/bin/python tests/bench/bench_rendering.py [series]

One fleet of servers with 1,000 scopes each, about `series` series in all (100,000 unless told). CPU time: the
client once, ours the best of three. Ratios hold across machines, milliseconds do not.
"""

import gzip
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from isal import igzip
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from dhcp_failover_exporter.exposition import Publication, Published, blocks, join
from dhcp_failover_exporter.failover import Naming, topology
from dhcp_failover_exporter.metrics import CATALOGUE, PollHealth, Sample, View, samples
from dhcp_failover_exporter.snapshot import Relationship, ScopeStatistics, Section

SCOPES = 1_000
SERIES_PER_SCOPE = 9


def answers(servers: int) -> Sequence[tuple[str, View, Sequence[Section]]]:
    scope_ids = [f"10.{number // 250}.{number % 250}.0" for number in range(SCOPES)]
    relationship = Relationship("dhcp01-dhcp02", "dhcp02.lab.local", "Normal", tuple(scope_ids))
    statistics = [
        ScopeStatistics(scope, number, number + 1, number + 2, number + 3, 12.5, *range(number, number + 4))
        for number, scope in enumerate(scope_ids)
    ]
    sections = (Section("relationships", (relationship,)), Section("statistics", tuple(statistics)))
    names = [f"dhcp{number:03}.lab.local" for number in range(servers)]
    return [(name, View(topology([relationship], Naming(), name)), sections) for name in names]


def rendered(fleet: Iterable[tuple[str, View, Sequence[Section]]]) -> Sequence[Publication]:
    health = PollHealth("10.0.0.1", "ntlm", "lab", answered=0.0, fresh_seconds=60.0)
    return [
        Publication(
            name,
            health,
            {it.name: Published(it.name, 0.0, 60.0, blocks(name, samples(it, view))) for it in sections},
        )
        for name, view, sections in fleet
    ]


class PlainCollector:
    """The same series as prometheus_client would be given them."""

    def __init__(self, found: Iterable[tuple[str, Sample]]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for server, (name, labels, value) in self._found:
            if name not in families:
                families[name] = GaugeMetricFamily(name, CATALOGUE[name].help, labels=CATALOGUE[name].labels)
            families[name].add_metric([server, *labels], value)
        return families.values()


def best(action: Callable[[], object], times: int = 3) -> float:
    """CPU seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        began = time.process_time()
        action()
        found.append(time.process_time() - began)
    return min(found)


def main(series: int) -> None:
    fleet = answers(max(1, round(series / (SCOPES * SERIES_PER_SCOPE))))
    publications = rendered(fleet)
    openmetrics: Callable[[CollectorRegistry], bytes] = generate_openmetrics  # the client leaves it untyped
    registry = CollectorRegistry()
    registry.register(
        PlainCollector(
            (name, it) for name, view, sections in fleet for found in sections for it in samples(found, view)
        )
    )
    count = sum(not line.startswith(b"#") for line in join(publications, 0.0).splitlines())
    print(
        f"{count:,} series from {len(fleet)} servers\n{'one scrape':<36}{'client':>12}{'blocks':>12}{'ratio':>8}"
    )
    for title, theirs, ours in (
        ("text 0.0.4", lambda: generate_latest(registry), lambda: join(publications, 0.0)),
        (
            "OpenMetrics + gzip (isal level 1)",
            lambda: gzip.compress(openmetrics(registry)),
            lambda: igzip.compress(join(publications, 0.0, openmetrics=True), 1),
        ),
    ):
        slow, fast = best(theirs, 1), best(ours)
        print(f"{title:<36}{slow * 1e3:>9.1f} ms{fast * 1e3:>9.1f} ms{slow / fast:>8.0f}")
    print(f"{'records to blocks, once per poll':<48}{best(lambda: rendered(fleet)) * 1e3:>9.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
