"""History of a fleet with incidents in it, as OpenMetrics text that promtool imports into a Prometheus.

The text is the exporter's own: records go through `failover`, `metrics` and `exposition`. Only three things are added,
as Prometheus adds them at a scrape: timestamps, `job` and `instance`, and its own series about the scrape.
"""

import functools
import itertools
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest

from dashboards.asking import of_pair
from dhcp_failover_exporter.exposition import Block, Publication, Published, blocks
from dhcp_failover_exporter.failover import (
    EVENT_KINDS,
    ClockOffset,
    EventLog,
    History,
    Naming,
    Topology,
    topology,
)
from dhcp_failover_exporter.metrics import CATALOGUE, GROUPS, PollHealth, SectionHealth, View, samples
from dhcp_failover_exporter.snapshot import (
    Counters,
    FirewallRule,
    PortProbe,
    Record,
    Relationship,
    Scope,
    ScopeConfiguration,
    ScopeStatistics,
    Section,
    Server,
    ServerOptions,
    ServerSetting,
)
from e2e.servers import prometheus

# Left untyped by prometheus_client.
_latest: Callable[[CollectorRegistry], bytes] = generate_latest

JOB: Final = "dhcp-failover"
INSTANCE: Final = "exporter:9647"
# When every incident began, before the end of the history.
INCIDENT_SECONDS: Final = 40 * 60.0
INTERVALS: Final = {"state": 15.0, "pools": 60.0, "checks": 900.0, "audit": 3600.0}
# What is wrong with the first pairs; all others are well.
INCIDENTS: Final = (
    "partner dead",
    "port closed",
    "conflict",
    "recovering",
    "clocks apart",
    "pool dry",
    "configuration differs",
    "parameters differ",
    "credential refused",
    "relationship gone",
    "four relationships",
)
# Both differ, so that a countdown of the one cannot pass for the other's.
MCLT: Final = 3600
SWITCH_INTERVAL: Final = 2700
# As Prometheus itself cuts its blocks.
BLOCK_SECONDS: Final = 2 * 3600

RULES: Final = Path(__file__).parents[2] / "alerts/dhcp-failover.rules.yml"
# Records that the fleet's dashboard reads, with those that these read, which must be there before; and how far back
# each is asked. The others that Prometheus would record are not made.
RECORDS: Final[Sequence[Mapping[str, float]]] = (
    {"dhcp_failover:relationship_pair": float("inf")},
    {
        "dhcp_failover:state:fresh": float("inf"),
        "dhcp_failover:scope_own_addresses_free": 600,
        "dhcp_failover:scope_addresses_free": 3600 + 600,
        "dhcp_failover:scope_drift": 600,
    },
    {"dhcp_failover:scope_addresses_taken:deriv1h": 600, "dhcp_failover:drift": 600},
)


@dataclass(frozen=True)
class Named:
    """A configured server."""

    name: str
    address: str


@dataclass
class Partner:
    """One server of a pair, and what the exporter would remember of it."""

    pair: int
    primary: bool
    scopes: int
    incident: str | None
    history: History = field(default_factory=History)
    polls: int = 0
    failures: int = 0

    @property
    def name(self) -> str:
        return _name(self.pair, primary=self.primary)

    @property
    def partner(self) -> str:
        return _name(self.pair, primary=not self.primary)

    @functools.cached_property
    def scope_ids(self) -> tuple[str, ...]:
        return tuple(f"10.{self.pair % 256}.{number}.0" for number in range(self.scopes))

    @property
    def relationships(self) -> tuple[str, ...]:
        return relationships(self.pair)

    @functools.cached_property
    def naming(self) -> Naming:
        return Naming([Named(self.name, self.name), Named(self.partner, self.partner)])

    def state(self, passed: float) -> str:
        """The state so many seconds after the incident began."""
        late = passed > INCIDENT_SECONDS / 2
        if passed < 0:
            return "Normal"
        if self.incident == "partner dead":
            return "PartnerDown" if late else "CommunicationInterrupted"
        if self.incident == "recovering":
            return "PartnerDown" if self.primary else "RecoverWait" if late else "Recover"
        return {"port closed": "CommunicationInterrupted", "conflict": "PotentialConflict"}.get(
            self.incident or "", "Normal"
        )

    def failure(self, passed: float) -> str | None:
        """Why the exporter gets no answer."""
        if passed >= 0 and self.incident == "credential refused":
            return "auth"
        return "unreachable" if passed >= 0 and self.incident == "partner dead" and not self.primary else None


def _name(pair: int, *, primary: bool) -> str:
    return f"dhcp{pair:03}{'a' if primary else 'b'}.lab.local"


def relationships(pair: int) -> tuple[str, ...]:
    """Their names."""
    first = f"failover-{pair:03}"
    several = INCIDENTS[pair : pair + 1] == ("four relationships",)
    return (first, *(f"{first}-{number}" for number in (2, 3, 4) if several))


def variables(pair: int) -> Mapping[str, str]:
    """Those of the dashboard about one pair."""
    names = (_name(pair, primary=primary) for primary in (True, False))
    return of_pair("|".join(names), *relationships(pair))


def fleet(pairs: int, scopes: int) -> Sequence[Partner]:
    return [
        Partner(pair, primary, scopes, INCIDENTS[pair] if pair < len(INCIDENTS) else None)
        for pair in range(pairs)
        for primary in (True, False)
    ]


# --- records ----------------------------------------------------------------------------------------------


def _relationships(it: Partner, passed: float) -> Sequence[Relationship]:
    names = it.relationships
    return [
        _relationship(it, passed, name, it.scope_ids[number :: len(names)])
        for number, name in enumerate(names)
    ]


def _relationship(it: Partner, passed: float, name: str, scopes: tuple[str, ...]) -> Relationship:
    standby = it.pair % 3 == 0
    manual = it.incident == "parameters differ" and not it.primary
    return Relationship(
        name=name,
        partner_server=it.partner,
        state=it.state(passed),
        scope_id=scopes,
        mode="HotStandby" if standby else "LoadBalance",
        server_role=("Active" if it.primary else "Standby") if standby else None,
        server_type="PrimaryServer" if it.primary else "SecondaryServer",
        primary_server_name=_name(it.pair, primary=True),
        secondary_server_name=_name(it.pair, primary=False),
        load_balance_percent=None if standby else 50,
        reserve_percent=5 if standby else None,
        max_client_lead_time=1800 if it.incident == "parameters differ" and it.primary else MCLT,
        state_switch_interval=None if manual else SWITCH_INTERVAL,
        auto_state_transition=not manual,
        enable_auth=True,
    )


def _phase(passed: float) -> int:
    """Grows by 1 each 12 min of up to 8 hours: pools that shrink, and slowly."""
    return int((passed + 7 * 3600) / 720)


def statistics(it: Partner, passed: float) -> Iterator[ScopeStatistics]:
    for number, scope in enumerate(it.scope_ids):
        used = 60 + 2 * (number % 40) + _phase(passed) * (number % 3)
        free, dry = 250 - used, it.incident == "pool dry" and not it.primary and number == 0 and passed >= 0
        ours = 0 if dry else _share(it, free)
        leased = _share(it, used)
        yield ScopeStatistics(scope, free, used, 0, 4, used / 2.5, ours, free - ours, leased, used - leased)


def _share(it: Partner, addresses: int) -> int:
    """More for the primary, so that one partner's addresses cannot pass for the other's."""
    primary = addresses * 3 // 5
    return primary if it.primary else addresses - primary


def _counters(it: Partner, at: float) -> Counters:
    count = int(at) % 1_000_000
    updates = (count, count, 0, count // 900, count, count)
    return Counters(
        at - 864_000, count, count, 3 * count, 3 * count, 9, 2, 5, *updates, count // 7200, 0, it.pair
    )


def _configuration(it: Partner) -> Iterator[Record]:
    for number, scope in enumerate(it.scope_ids):
        drifted = it.incident == "configuration differs" and it.primary and number < 2
        options = ({"OptionId": 6, "Value": ["10.0.0.53", "10.0.1.53"] if drifted else ["10.0.0.53"]},)
        yield ScopeConfiguration(scope, {"Name": f"floor {number}"}, options, (), (), ())
    yield ServerOptions(({"OptionId": 15, "Value": ["lab.local"]},))


def _scopes(it: Partner) -> Iterator[Record]:
    for number, scope in enumerate(it.scope_ids):
        yield Scope(scope, "255.255.255.0", f"floor {number}", "Active", "building", 28_800)


RULE: Final = FirewallRule("Microsoft-Windows-DHCP-FailoverServer-In", True, True, "Inbound", "Allow")
SETTING: Final = ServerSetting(is_domain_joined=True, is_authorized=True)


# --- one scrape -------------------------------------------------------------------------------------------


def _view(it: Partner, passed: float, found: Topology) -> View:
    skew = 90.0 if it.incident == "clocks apart" and not it.primary and passed >= 0 else 0.02 * it.pair
    lost = max(0, int(passed / 300)) if it.state(passed) == "CommunicationInterrupted" else 0
    counts = {(link.name, "link_down"): lost for link in found.links}
    if it.incident == "four relationships":
        busy = max(0, int(passed / 300))
        counts = {(link.name, event): busy for link in found.links for event in EVENT_KINDS}
    events = EventLog(1, counts)
    return View(found, it.history, events, ClockOffset(skew, 0.05 + it.pair / 1000), True)


def _sections(
    it: Partner, at: float, passed: float, relationships: Sequence[Relationship]
) -> Iterator[tuple[str, object, Callable[[], Iterable[Record]]]]:
    """Name, what the records depend on beside the server (None: never render them twice), and the records."""
    membership = len(relationships)
    reachable = not (it.incident in {"port closed", "partner dead"} and it.primary and passed >= 0)
    probe = PortProbe(it.partner, reachable, it.partner, 647, 0.004 if reachable else None)
    yield "server", None, lambda: [Server(it.name, "10.0.20348", "5.1.20348", None, "Running", at)]
    yield "relationships", None, lambda: relationships
    yield "ports", (reachable, membership), lambda: [probe]
    yield "statistics", (_phase(passed), passed >= 0, membership), lambda: statistics(it, passed)
    yield "counters", None, lambda: [_counters(it, at)]
    yield "events", None, list
    yield "scopes", membership, lambda: _scopes(it)
    yield "settings", "same", lambda: [SETTING]
    yield "firewall", "same", lambda: [RULE]
    yield "configuration", membership, lambda: _configuration(it)


# What is the same as before is rendered once: without it the large history takes twice as long.
_RENDERED: dict[tuple[str, str], tuple[object, Sequence[Block]]] = {}


def _published(it: Partner, at: float, passed: float, whole: bool) -> Iterator[Published]:
    gone = it.incident == "relationship gone" and not it.primary and passed >= 0
    relationships = [] if gone else _relationships(it, passed)
    found = topology(relationships, it.naming, it.name)
    it.history = it.history.observed(found, at)
    view = _view(it, passed, found)
    for name, depends_on, records in _sections(it, at, passed, relationships):
        if not whole and name not in SECTIONS_OVER_TIME:
            continue
        known, rendered = _RENDERED.get((it.name, name), (None, ()))
        if depends_on is None or known != depends_on:
            rendered = blocks(it.name, samples(Section(name, tuple(records())), view))
            _RENDERED[it.name, name] = depends_on, rendered
        yield Published(name, at, 600, rendered)


def _health(it: Partner, at: float, failure: str | None) -> PollHealth:
    it.polls += 4
    it.failures += 4 if failure else 0
    answered = at - INCIDENT_SECONDS if failure else at
    refused = it.incident == "configuration differs" and not it.primary
    sections = {
        section: SectionHealth(
            INTERVALS[group],
            True,
            "permission" if refused and section == "firewall" else None,
            0.2 + it.pair / 100,
            answered,
        )
        for group, names in GROUPS.items()
        for section in names
    }
    return PollHealth(
        it.name, "kerberos", "lab", it.polls, failure, {failure or "timeout": it.failures}, answered, 600, sections
    )  # fmt: skip


def publication(it: Partner, at: float, passed: float, whole: bool) -> Iterator[Block]:
    """What the exporter would show about a server at that moment, all of it or what is needed `OVER_TIME`."""
    failure = it.failure(passed)
    published = {} if failure else {each.section: each for each in _published(it, at, passed, whole)}
    if whole:
        yield from Publication(it.name, _health(it, at, failure), published).blocks(at)
        return
    yield from (
        block for each in published.values() for block in each.blocks if block.family.name in OVER_TIME
    )


class OwnFamilies:
    """The families about the exporter itself, made from the catalogue, and Prometheus' own about its scrapes."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        kinds = {"gauge": Gauge, "counter": Counter, "histogram": Histogram}
        self._families = {
            family.name: kinds[family.kind](family.name, family.help, family.labels, registry=self._registry)
            for family in CATALOGUE.values()
            if family.group is None
        }
        self._labels = {family.name: family.labels for family in CATALOGUE.values() if family.group is None}

    def text(self, at: float, samples_scraped: int) -> bytes:
        for name, family in self._families.items():
            labels = self._labels[name]
            child = family.labels(*(f"any {label}" for label in labels)) if labels else family
            if isinstance(child, Histogram):
                child.observe(0.01)
            elif isinstance(child, Counter):
                child.inc()
            else:
                child.set(at if name.endswith("timestamp_seconds") else 1)
        scrape = f"up 1\nscrape_duration_seconds 0.05\nscrape_samples_scraped {samples_scraped}\n"
        lines = [line for line in _latest(self._registry).splitlines(True) if line[:1] != b"#"]
        return b"".join([*lines, scrape.encode()])


# What the fleet's dashboard asks for a whole time range, itself or through a record; all else it asks for now.
OVER_TIME: Final = {
    "dhcp_failover_state",
    "dhcp_failover_relationship_info",
    "dhcp_failover_clock_offset_seconds",
}
# The sections that these are made of.
SECTIONS_OVER_TIME: Final = {"server", "relationships"}

_TARGET: Final = f'job="{JOB}",instance="{INSTANCE}"'.encode()


def _with_target(text: bytes) -> bytes:
    """As Prometheus labels what it scrapes: own families may have no labels yet."""
    labelled = re.sub(rb"(?m)^([a-zA-Z_:]+)\{", rb"\1{" + _TARGET + b",", text)
    return re.sub(rb"(?m)^([a-zA-Z_:]+) ", rb"\1{" + _TARGET + b"} ", labelled)


def scrape(partners: Sequence[Partner], own: OwnFamilies, at: float, passed: float, whole: bool) -> bytes:
    """All samples of one scrape with its timestamp, or only those `OVER_TIME`."""
    lines = [block.lines for partner in partners for block in publication(partner, at, passed, whole)]
    servers = b"".join(lines).replace(b"{server=", b"{" + _TARGET + b",server=")
    text = servers + _with_target(own.text(at, servers.count(b"\n")))
    return text.replace(b"\n", f" {at:.3f}\n".encode())


# --- history ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """The moments of all scrapes, and those that are whole: every `whole_step`."""

    end: float
    hours: float
    step: float = 60.0
    whole_step: float = 60.0

    def moments(self) -> Iterator[tuple[float, bool]]:
        """(when, whole)."""
        for number in reversed(range(int(self.hours * 3600 / self.step) + 1)):
            before = number * self.step
            yield self.end - before, before % self.whole_step == 0


def imported(
    promtool: str, folder: Path, partners: Sequence[Partner], span: Span, *, replicas: int = 1
) -> Path:
    """The data folder of a Prometheus that scraped so many exporters, all of which watch these partners."""
    own, data = OwnFamilies(), folder / "data"
    # One text per block: promtool reads a whole text once for each block that it writes.
    for block, moments in itertools.groupby(span.moments(), lambda moment: moment[0] // BLOCK_SECONDS):
        path = folder / f"block-{block:.0f}.om"
        with path.open("wb") as output:
            for at, whole in moments:
                text = scrape(partners, own, at, at - span.end + INCIDENT_SECONDS, whole)
                for number in range(replicas):
                    output.write(text.replace(INSTANCE.encode(), f"{number}.{INSTANCE}".encode()))
            output.write(b"# EOF\n")
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(path), str(data)]
        subprocess.run(command, check=True)
        path.unlink()
    return data


def recorded(program: Callable[[str], str], folder: Path, span: Span) -> None:
    """Add what the shipped rules would have recorded meanwhile, each of `RECORDS` after those that it reads."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules = {rule["record"]: rule for rule in group["rules"] if "record" in rule}
    for number, records in enumerate(RECORDS):
        # Prometheus finds new blocks when it starts.
        with prometheus(program("prometheus"), folder, {}) as asked:
            for seconds in set(records.values()):
                chosen = [rules[record] for record, far in records.items() if far == seconds]
                path = folder / f"records-{number}-{seconds:.0f}.yml"
                path.write_text(yaml.safe_dump({"groups": [{**group, "rules": chosen}]}))
                start = span.end - min(seconds, span.hours * 3600)
                command = [program("promtool"), "tsdb", "create-blocks-from", "rules", "--quiet", str(path)]
                flags = [f"--url={asked.url}", f"--start={start:.0f}", f"--end={span.end:.0f}"]
                subprocess.run([*command, *flags, f"--output-dir={folder / 'data'}"], check=True)
