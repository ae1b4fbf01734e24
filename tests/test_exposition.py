"""Samples to text: prometheus_client is the oracle; the join decides what is fresh."""

import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from dhcp_failover_exporter.exposition import Publication, Published, blocks, fresh_seconds, join
from dhcp_failover_exporter.failover import ClockOffset, EventLog, Naming, topology
from dhcp_failover_exporter.metrics import (
    CATALOGUE,
    GROUPS,
    NEED_RELATIONSHIPS,
    PREFIX,
    Family,
    PollHealth,
    Sample,
    SectionHealth,
    View,
    health_samples,
    samples,
)
from dhcp_failover_exporter.snapshot import (
    SECTIONS,
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

HEALTH = PollHealth("10.0.0.1", "ntlm", "lab", polls=1, answered=100.0, fresh_seconds=37.5)
# By whether it is OpenMetrics, which prometheus_client leaves untyped.
RENDER: Mapping[bool, Callable[[CollectorRegistry], bytes]] = {
    False: generate_latest,
    True: generate_openmetrics,
}
PARSE: Mapping[bool, Callable[[str], Iterable[Metric]]] = {False: parse_text, True: parse_openmetrics}
ABOUT_SERVERS = [family for family in CATALOGUE.values() if family.group]


def rendered(*given: Sample, server: str = "a") -> str:
    return b"".join(block.lines for block in blocks(server, given)).decode()


def gauge(value: float) -> str:
    return rendered(Sample(PREFIX + "up", (), value)).split()[1]


class TestBlocks:
    def test_one_block_per_family_in_the_order_of_the_samples(self) -> None:
        up, polls = Sample(PREFIX + "up", (), 1), Sample(PREFIX + "polls_total", (), 2)
        assert [(block.family.name, block.lines) for block in blocks("a", [polls, up])] == [
            ("dhcp_failover_polls_total", b'dhcp_failover_polls_total{server="a"} 2\n'),
            ("dhcp_failover_up", b'dhcp_failover_up{server="a"} 1\n'),
        ]

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0"),
            (True, "1"),
            (0.05, "0.05"),
            (-1.5, "-1.5"),
            (2**48 - 1, "281474976710655"),
            (1e300, "1e+300"),
            (float("inf"), "+Inf"),
            (float("-inf"), "-Inf"),
            (float("nan"), "NaN"),
        ],
    )
    def test_values_as_prometheus_writes_them(self, value: float, text: str) -> None:
        assert gauge(value) == text

    def test_label_values_are_escaped_and_half_surrogates_replaced(self) -> None:
        line = rendered(Sample(PREFIX + "target_info", ('a"\\\n', "\ud83d", "\N{GRINNING FACE}"), 1))
        assert line == (
            'dhcp_failover_target_info{server="a",address="a\\"\\\\\\n",auth="\N{REPLACEMENT CHARACTER}",'
            'credential="\N{GRINNING FACE}"} 1\n'
        )

    @pytest.mark.parametrize("labels", [(), ("a", "b"), ("a", "b", "c", "d")])
    def test_a_label_too_few_or_too_many_is_refused(self, labels: tuple[str, ...]) -> None:
        with pytest.raises(ValueError, match="expected values of the labels"):
            blocks("a", [Sample(PREFIX + "target_info", labels, 1)])

    def test_of_two_samples_with_one_label_set_the_last_counts(self) -> None:
        assert (
            rendered(*(Sample(PREFIX + "up", (), value) for value in (0, 1)))
            == 'dhcp_failover_up{server="a"} 1\n'
        )

    def test_labels_that_become_equal_by_replacement_are_one_label_set(self) -> None:
        twins = [Sample(PREFIX + "poll_failed", (half,), 1) for half in ("\ud83d", "\ud83e")]
        assert rendered(*twins).count("\n") == 1


# --- the join -----------------------------------------------------------------------------------------------


def published(name: str, started: float = 100.0, value: int = 1) -> Published:
    """A section with one sample of its first family."""
    family = next(family for family in CATALOGUE.values() if family.section == name)
    sample = Sample(family.name, ("x",) * (len(family.labels) - 1), value)
    return Published(name, started, 37.5, blocks("a", [sample]))


def publication(*sections: Published, server: str = "a", health: PollHealth = HEALTH) -> Publication:
    return Publication(server, health, {section.section: section for section in sections})


def shown(*publications: Publication, now: float = 110.0, **options: Any) -> Mapping[str, list[str]]:
    """Section -> its lines; polls' families under the empty name."""
    found: dict[str, list[str]] = {}
    for line in join(publications, now, **options).decode().splitlines():
        if not line.startswith("#"):
            found.setdefault(CATALOGUE[line.partition("{")[0]].section, []).append(line)
    return found


def value_of(text: bytes, series: str) -> str:
    (line,) = [line for line in text.decode().splitlines() if line.startswith(f"{PREFIX}{series} ")]
    return line.split()[-1]


class TestFreshness:
    def test_the_larger_of_two_bounds_counts(self) -> None:
        assert fresh_seconds(60, 10) == 150
        assert fresh_seconds(15, 10) == 42
        assert fresh_seconds(1, 10) == 14

    def test_what_is_fresh_is_shown(self) -> None:
        everything = publication(*map(published, SECTIONS))
        assert shown(everything, now=137.5).keys() == {"", *SECTIONS}

    def test_what_is_not_is_absent_and_the_polls_stay(self) -> None:
        everything = publication(*map(published, SECTIONS))
        assert shown(everything, now=137.6).keys() == {""}

    def test_each_section_ages_by_itself(self) -> None:
        sections = publication(
            published("server", 80.0), published("relationships", 100.0), published("scopes", 90.0)
        )
        assert shown(sections, now=117.0).keys() == {"", "relationships", "scopes", "server"}
        assert shown(sections, now=120.0, groups=["pools"]).keys() == {"scopes"}
        assert shown(sections, now=130.0).keys() == {"", "relationships"}

    @pytest.mark.parametrize("relationships", [[], [published("relationships", 50.0)]], ids=["none", "stale"])
    def test_without_fresh_relationships_nothing_that_names_them_is_shown(self, relationships: Any) -> None:
        others = [published(name) for name in SECTIONS if name != "relationships"]
        assert shown(publication(*relationships, *others)).keys() == {"", *SECTIONS} - NEED_RELATIONSHIPS - {
            "relationships"
        }

    def test_up_turns_0_by_the_clock_alone(self) -> None:
        stuck = publication(published("relationships"))
        assert value_of(join([stuck], 137.5), 'up{server="a"}') == "1"
        late = join([stuck], 137.6)
        assert value_of(late, 'up{server="a"}') == "0"
        assert value_of(late, 'poll_failed{server="a",reason="timeout"}') == "1"


class TestJoin:
    def test_families_come_in_the_order_of_the_catalogue_each_over_all_servers(self) -> None:
        text = join(
            [publication(*map(published, reversed(SECTIONS)), server=name) for name in "ba"], 110.0
        ).decode()
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert names == [name for name in CATALOGUE if name in set(names)]
        assert len(names) == len(set(names)) > 10
        ups = [line for line in text.splitlines() if line.startswith("dhcp_failover_up")]
        assert ups == ['dhcp_failover_up{server="b"} 1', 'dhcp_failover_up{server="a"} 1']

    def test_a_family_without_samples_has_no_head(self) -> None:
        assert b"scope_info" not in join([publication()], 110.0)

    def test_nothing_is_an_exposition_too(self) -> None:
        assert join([], 0.0) == b""
        assert join([], 0.0, openmetrics=True) == b"# EOF\n"

    @pytest.mark.parametrize("group", GROUPS)
    def test_a_group_shows_its_sections_and_the_polls_go_with_the_state(self, group: Any) -> None:
        sections = shown(publication(*map(published, SECTIONS)), groups=frozenset({group}))
        assert sections.keys() == {*GROUPS[group], *([""] if group == "state" else [])}

    @pytest.mark.parametrize("openmetrics", [False, True])
    def test_the_exporters_own_families_are_joined(self, openmetrics: bool) -> None:
        registry = CollectorRegistry()
        Counter("dhcp_failover_exporter_sessions_opened", "Sessions.", registry=registry).inc()
        own = RENDER[openmetrics](registry)
        text = join([publication()], 110.0, openmetrics=openmetrics, own=own)
        families = PARSE[openmetrics](text.decode())
        assert "dhcp_failover_exporter_sessions_opened" in {family.name for family in families}
        assert text.count(b"# EOF") == int(openmetrics)

    def test_sample_lines_are_the_same_in_both_formats(self) -> None:
        everything = publication(*map(published, SECTIONS))
        texts = [join([everything], 110.0, openmetrics=openmetrics) for openmetrics in (False, True)]
        first, second = ([line for line in text.splitlines() if not line.startswith(b"#")] for text in texts)
        assert first == second
        assert b"# TYPE dhcp_failover_polls_total counter" in texts[0]
        assert b"# TYPE dhcp_failover_polls counter" in texts[1]


# --- the oracle ---------------------------------------------------------------------------------------------


class Oracle:
    """The same samples as a plain collector of prometheus_client gives them."""

    def __init__(self, given: Mapping[str, Iterable[Sample]]) -> None:
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for server, found in given.items():
            for sample in found:
                self._add(server, sample)

    def _add(self, server: str, sample: Sample) -> None:
        family = self._families.setdefault(sample.family, self._new(CATALOGUE[sample.family]))
        family.add_metric([server, *sample.labels], sample.value)

    def _new(self, family: Family) -> CounterMetricFamily | GaugeMetricFamily:
        kind: type[CounterMetricFamily | GaugeMetricFamily] = (
            CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        )
        return kind(family.name, family.help, labels=family.labels)

    def collect(self) -> Iterable[Metric]:
        return self._families.values()


def normalised(families: Iterable[Metric]) -> set[tuple[Any, ...]]:
    return {
        (
            family.name,
            family.type,
            family.documentation,
            sample.name,
            frozenset(sample.labels.items()),
            sample.value,
        )
        for family in families
        for sample in family.samples
    }


# Whatever UTF-8 can carry; half a surrogate has its own test, since prometheus_client cannot write it at all.
TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ['"', "\\", "\\n", "a\nb", " ", "}", "=,", "#"]
)
COUNT = st.none() | st.integers(0, 2**40)
RATIO = st.none() | st.floats(0, 1e9)
SCOPE_IDS = [f"10.{number}.0.0" for number in range(4)]


def built(kind: type[Record], **known: Any) -> st.SearchStrategy[Any]:
    """Records with every field that is not given drawn by its annotation."""
    strategies = {
        int | None: COUNT,
        float: RATIO,
        float | None: RATIO,
        bool | None: st.none() | st.booleans(),
        str | None: st.none() | TEXT,
        str: TEXT,
    }
    fields = {
        name: strategies[hint]
        for name, hint in get_type_hints(kind).items()
        if name not in known and hint in strategies
    }
    return st.builds(kind, **(fields | known))


def distinct(
    records: st.SearchStrategy[Any], key: Callable[[Any], Any]
) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(records, max_size=4, unique_by=key).map(tuple)


OBJECTS = st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=2).map(tuple)
SCOPE_ID = st.sampled_from(SCOPE_IDS)
RECORDS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "server": st.tuples(built(Server)),
    "relationships": distinct(
        built(Relationship, scope_id=st.lists(SCOPE_ID, unique=True, max_size=2).map(tuple)),
        lambda it: it.name,
    ),
    "ports": distinct(
        built(PortProbe, reachable=st.booleans()), lambda it: it.partner_server.strip().casefold()
    ),
    "scopes": distinct(built(Scope, scope_id=SCOPE_ID), lambda it: it.scope_id),
    "statistics": distinct(built(ScopeStatistics, scope_id=SCOPE_ID), lambda it: it.scope_id),
    "counters": st.tuples(built(Counters)),
    "events": st.just(()),
    "settings": st.tuples(built(ServerSetting)),
    "firewall": distinct(built(FirewallRule, present=st.booleans()), lambda it: it.name),
    "configuration": distinct(
        built(ScopeConfiguration, scope_id=SCOPE_ID, options=OBJECTS), lambda it: it.scope_id
    ).map(lambda records: (*records, ServerOptions(()))),
}


@st.composite
def views(draw: st.DrawFn) -> tuple[Mapping[str, tuple[Record, ...]], View]:
    records = {name: draw(strategy) for name, strategy in RECORDS.items()}
    counts = draw(st.dictionaries(st.tuples(TEXT, st.just("link_up")), st.integers(0, 99), max_size=2))
    view = View(
        topology=topology(records["relationships"], Naming(), "a"),
        event_log=EventLog(1, counts),
        clock=draw(st.none() | st.just(ClockOffset(-0.25, 0.125))),
        dhcp_answers=draw(st.none() | st.booleans()),
        scope_metrics=draw(st.sampled_from(["all", "failover", "none"])),
    )
    return records, view


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXT, views(), min_size=1, max_size=2))
def test_what_is_rendered_parses_to_what_a_plain_collector_gives(fleet: Any) -> None:
    health = replace(HEALTH, sections={"scopes": SectionHealth(60.0, True, "other", 0.5, 1e9)})
    expected, publications = {}, []
    for server, (records, view) in fleet.items():
        by_section = {name: list(samples(Section(name, found), view)) for name, found in records.items()}
        expected[server] = [
            *health_samples(health, up=True),
            *(it for found in by_section.values() for it in found),
        ]
        sections = {
            name: Published(name, 100.0, 37.5, blocks(server, found)) for name, found in by_section.items()
        }
        publications.append(Publication(server, health, sections))
    oracle = Oracle(expected)
    registry = CollectorRegistry()
    registry.register(oracle)

    for openmetrics in (False, True):
        parse = PARSE[openmetrics]
        ours = join(publications, 110.0, openmetrics=openmetrics).decode()
        theirs = RENDER[openmetrics](registry).decode()
        assert normalised(parse(ours)) == normalised(parse(theirs))


@pytest.mark.e2e
def test_promtool_finds_nothing_to_say(program: Callable[[str], str]) -> None:
    everything = [
        Sample(family.name, ("x",) * (len(family.labels) - 1), 1)
        for family in ABOUT_SERVERS
        if family.section
    ]
    sections = {name: Published(name, 100.0, 37.5, ()) for name in SECTIONS}
    sections["relationships"] = Published("relationships", 100.0, 37.5, blocks("a", everything))
    health = replace(HEALTH, sections={"scopes": SectionHealth(60.0, True, None, 0.5, 1e9)})
    text = join([Publication("a", health, sections)], 110.0)
    assert {line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")} == {
        family.name for family in ABOUT_SERVERS
    }
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
