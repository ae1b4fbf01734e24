"""Incident by incident: one page, which names the cause, and one all-clear. All at once, on one stage.

Beside it runs the demo, at its own pace, and at the end the dashboards are asked about that.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from dashboards.asking import EVERYTHING, Page, most_answered, of_pair, room
from dhcp_failover_exporter.simulator.lab import Host
from dhcp_failover_exporter.simulator.windows import (
    Pace,
    Pair,
    Population,
    Reservation,
    Setup,
    Timing,
    hot_standby,
    load_balance,
    scopes,
    unprotected,
)
from e2e.demo import PAIRS, ROOT, Demo, demo
from e2e.demo import SCRAPE_SECONDS as DEMO_SCRAPE_SECONDS
from e2e.servers import HTTP, eventually
from e2e.stage import (
    AUDIT_SECONDS,
    CHECKS_SECONDS,
    EVALUATION_SECONDS,
    FACTOR,
    POOLS_SECONDS,
    SCRAPE_SECONDS,
    STATE_SECONDS,
    Stage,
    stage,
)

pytestmark = pytest.mark.e2e

MCLT_SECONDS = 12.0
SILENCE_SECONDS = 3.0
MINUTE = 60 * FACTOR
PACE = Pace(contact=1.0, silence=SILENCE_SECONDS, mclt=MCLT_SECONDS)
USUAL = Setup(pace=PACE)
# From a change that can be read to the webhook, beside `for`: every interval in full, and group_wait.
WAY_SECONDS = STATE_SECONDS + SCRAPE_SECONDS + 2 * EVALUATION_SECONDS + 0.5 * MINUTE
# What this machine may be late by, with everything on two processors.
SLACK_SECONDS = 6.0
# For a state of recovery to be polled and scraped at least once.
LONG_ENOUGH = 2 * STATE_SECONDS + SCRAPE_SECONDS
RECOVERY = Timing.paced(1.0, SILENCE_SECONDS)
RULE_IN = "Microsoft-Windows-DHCP-Failover-TCP-In"


@dataclass
class Scene:
    """One pair on the stage and the clock of its incident."""

    stage: Stage
    made: Pair
    began: float = field(default_factory=time.monotonic)

    @property
    def primary(self) -> Host:
        return self.stage.lab.hosts[self.made.primary.fqdn]

    @property
    def secondary(self) -> Host:
        return self.stage.lab.hosts[self.made.secondary.fqdn]

    @property
    def pair(self) -> str:
        return f"{self.primary.name}|{self.secondary.name}"

    def paged(self, *names: str, within: float = 60, receiver: str = "pager") -> str:
        """Wait for these alerts about the pair; everything that they tell."""
        notification = self.stage.paged(self.pair, *names, receiver=receiver, within=within)
        texts = [notification.text(name) for name in names]
        for name, text in zip(names, texts, strict=True):
            assert self.pair in text or self.primary.name in text or self.secondary.name in text, text
            assert f"/DhcpFailover{name}.md" in text
        return "\n".join(texts)

    def comes_back(self, host: Host) -> None:
        """The host is up again, and the exporter is told."""
        host.mend("host_down")
        self.stage.exporter.ask_now(host.name)

    def shown(self, host: Host, over: str = "") -> set[str]:
        """The states of a server that Prometheus has now, or has had over a time."""
        series = f'dhcp_failover_state{{server="{host.name}"}}'
        now = f"max by (state) ({f'max_over_time({series}[{over}])' if over else series}) == 1"
        return {state for (state,) in self.stage.prometheus.values(now, "state")}

    def one_page(self) -> None:
        """What is over is said once, and there was one page in all."""
        self.stage.resolved(self.pair)
        assert self.stage.receiver.pages("pager", self.pair) == 1

    def no_page(self) -> None:
        assert self.stage.receiver.pages("pager", self.pair) == 0

    def passed(self) -> float:
        return time.monotonic() - self.began


Play = Callable[[Scene], None]


@dataclass(frozen=True)
class Incident:
    """A pair of two relationships as the incident needs it, and what happens to it."""

    play: Play
    setup: Setup = USUAL
    network: int = 24
    reserve: int = 30

    def pair(self, number: int) -> Pair:
        name = self.play.__name__.replace("_", "-")
        made = Pair.of(names=(f"{name}1", f"{name}2"), subnet=f"10.250.{number}")
        made.relationships = [
            load_balance(
                f"{name} shared",
                *made.servers,
                scopes(2, f"10.{number}.0.0/{self.network}"),
                setup=self.setup,
            ),
            hot_standby(
                f"{name} standby",
                *made.servers,
                scopes(2, f"10.{number}.128.0/{self.network}"),
                reserve=self.reserve,
                setup=self.setup,
            ),
        ]
        for relationship in made.relationships:
            for end in relationship.ends:
                relationship.set_parameters(end, shared_secret="shared")
        return made


INCIDENTS: dict[str, Incident] = {}


def incident(setup: Setup = USUAL, **pools: int) -> Callable[[Play], Play]:
    def register(play: Play) -> Play:
        INCIDENTS[play.__name__] = Incident(play, setup, **pools)
        return play

    return register


# --- what stops a pair from protecting its clients --------------------------------------------------------


@incident()
def port_into_secondary_blocked(scene: Scene) -> None:
    scene.secondary.break_("port_blocked")
    scene.paged("CommunicationInterrupted", receiver="chat", within=30)
    text = scene.paged("CommunicationInterrupted")
    assert scene.passed() < SILENCE_SECONDS + MCLT_SECONDS + 2 * MINUTE + WAY_SECONDS + SLACK_SECONDS
    assert f"{scene.primary.name} cannot reach {scene.secondary.name} on TCP 647" in text
    assert "port-into-secondary-blocked shared" in text
    for host in (scene.primary, scene.secondary):
        assert scene.shown(host) == {"CommunicationInterrupted"}
    reachable = f'dhcp_failover_partner_reachable{{server="{scene.primary.name}",server_type="primary"}}'
    assert scene.stage.prometheus.value(reachable) == 0
    scene.secondary.mend("port_blocked")
    scene.one_page()
    chat = scene.stage.receiver.sent("chat", scene.pair)
    told = [each.severities("CommunicationInterrupted") for each in chat]
    assert told.index({"warning"}) < told.index({"critical"}), "the update tells of the worse"


@incident()
def port_into_primary_blocked(scene: Scene) -> None:
    """The direction that carries nothing: seen, and no reason to call anybody."""
    scene.primary.break_("port_blocked")
    reachable = f'dhcp_failover_partner_reachable{{server="{scene.secondary.name}"}}'
    eventually(lambda: scene.stage.prometheus.value(reachable) == 0, 30, "the secondary cannot connect")
    scene.stage.state(scene.primary, "Normal")
    assert scene.stage.prometheus.value(reachable.replace(scene.secondary.name, scene.primary.name)) == 1
    time_for_a_warning()
    scene.primary.mend("port_blocked")
    scene.no_page()
    assert scene.stage.receiver.sent("chat", scene.pair) == []


@incident(Setup(pace=replace(PACE, mclt=8.0)))
def partner_dead(scene: Scene) -> None:
    """Escalates in one page, and opens no new one while the partner waits for its MCLT."""
    scene.secondary.break_("host_down")
    scene.paged("CommunicationInterrupted")
    scene.primary.break_("partner_down_forced")
    scene.paged("PartnerDown")
    scene.comes_back(scene.secondary)
    scene.stage.state(scene.secondary, "Normal")
    for end in (relationship.secondary for relationship in scene.made.relationships):
        assert end.since - end.recover_wait_since >= 8.0, "one MCLT"
    scene.one_page()
    assert scene.shown(scene.secondary, over="2m") >= {"RecoverWait", "Normal"}


@incident(
    Setup(
        pace=replace(
            PACE, state_switch=6.0, timing=replace(RECOVERY, update=LONG_ENOUGH, exchange=LONG_ENOUGH)
        )
    )
)
def partner_dead_and_taken_over(scene: Scene) -> None:
    scene.secondary.break_("host_down")
    scene.paged("PartnerDown")
    assert scene.passed() < SILENCE_SECONDS + 6.0 + WAY_SECONDS + SLACK_SECONDS
    up = f'dhcp_failover_up{{server="{scene.secondary.name}"}}'
    assert scene.stage.prometheus.value(up) == 0
    scene.comes_back(scene.secondary)
    scene.stage.state(scene.secondary, "Normal", within=60)
    scene.one_page()
    assert scene.shown(scene.secondary, over="2m") >= {"Recover", "RecoverWait", "RecoverDone", "Normal"}


@incident(Setup(pace=replace(PACE, mclt=6.0, state_switch=4.0)))
def stuck_in_recover_wait(scene: Scene) -> None:
    scene.secondary.break_("host_down")
    scene.paged("PartnerDown")
    scene.comes_back(scene.secondary)
    scene.stage.state(scene.secondary, "RecoverWait")
    for relationship in scene.made.relationships:
        relationship.secondary.recover_wait_since = math.inf
    text = scene.paged("RecoverWaitStuck")
    assert scene.secondary.name in text
    for relationship in scene.made.relationships:
        relationship.secondary.recover_wait_since = 0.0
    scene.one_page()


@incident(Setup(pace=replace(PACE, timing=replace(RECOVERY, update=LONG_ENOUGH))))
def potential_conflict(scene: Scene) -> None:
    scene.secondary.break_("port_blocked")
    scene.stage.state(scene.primary, "CommunicationInterrupted")
    scene.primary.break_("partner_down_forced")
    scene.secondary.break_("partner_down_forced")
    scene.paged("PartnerDown")
    scene.secondary.mend("port_blocked")
    scene.paged("PotentialConflict")
    scene.stage.state(scene.primary, "Normal", within=60)
    scene.one_page()


@incident(
    Setup(pace=PACE, population=Population(clients=9, stay_seconds=6.0, away_seconds=3.0)),
    network=27,
    reserve=5,
)
def pool_running_dry(scene: Scene) -> None:
    scene.primary.break_("host_down")
    text = scene.paged("OwnPoolExhausted")
    assert scene.secondary.name in text
    assert f"{scene.primary.name} does not answer the exporter" in text
    for pool in scene.made.secondary.pools.values():
        # Its clients go home. With them, what is left of the day would fill the whole scope.
        pool.population = replace(pool.population, away_seconds=1e6)
    scene.comes_back(scene.primary)
    scene.one_page()


@incident(Setup(pace=replace(PACE, timing=replace(RECOVERY, update=LONG_ENOUGH))))
def partner_down_forced_while_partner_lives(scene: Scene) -> None:
    scene.secondary.break_("port_blocked")
    scene.stage.state(scene.primary, "CommunicationInterrupted")
    scene.primary.break_("partner_down_forced")
    scene.paged("PartnerDown", "PartnerDownWhilePartnerServes")
    scene.secondary.mend("port_blocked")
    scene.stage.state(scene.primary, "PotentialConflict")
    scene.stage.state(scene.primary, "Normal", within=60)
    scene.one_page()


@incident()
def service_stopped(scene: Scene) -> None:
    scene.secondary.break_("service_stopped")
    text = scene.paged("ServiceDown")
    assert scene.passed() < 5 * MINUTE + WAY_SECONDS + SLACK_SECONDS
    assert scene.secondary.name in text
    scene.secondary.mend("service_stopped")
    scene.one_page()


@incident()
def reboot_of_five_minutes(scene: Scene) -> None:
    scene.secondary.break_("host_down")
    eventually(lambda: scene.passed() > 5 * MINUTE, 30, "five minutes at the stage's pace")
    up = f'dhcp_failover_up{{server="{scene.secondary.name}"}}'
    eventually(lambda: scene.stage.exporter.value(up) == 0, 10, "the exporter noticed")
    scene.secondary.mend("host_down")
    scene.stage.state(scene.secondary, "Normal")
    scene.stage.state(scene.primary, "Normal")
    time_for_a_warning()
    scene.no_page()


# --- what State does not tell -----------------------------------------------------------------------------


@incident()
def firewall_rule_disabled(scene: Scene) -> None:
    scene.secondary.break_("firewall_rule_off")
    text = scene.paged("CommunicationInterrupted")
    assert f"Firewall rule {RULE_IN} on {scene.secondary.name}" in text
    assert f"{scene.primary.name} cannot reach {scene.secondary.name} on TCP 647" in text
    scene.secondary.mend("firewall_rule_off")
    scene.one_page()


def polls_and_offset(scene: Scene) -> tuple[float, float]:
    """Of the secondary, from one answer of the exporter."""
    shown = dict(line.rsplit(" ", 1) for line in scene.stage.exporter.metrics("state").splitlines())
    names = ("dhcp_failover_polls_total", "dhcp_failover_clock_offset_seconds")
    polls, offset = (float(shown.get(f'{name}{{server="{scene.secondary.name}"}}', 0)) for name in names)
    return polls, offset


@incident()
def clocks_apart(scene: Scene) -> None:
    scene.secondary.break_("clock_apart")
    before, _ = polls_and_offset(scene)
    polls = eventually(
        lambda: (now := polls_and_offset(scene))[1] > 80 and now[0], 20, "the clock is in the metrics"
    )
    assert polls - before <= 2 + 1, "two polls, beside one that may have been under way"
    scene.paged("ClockSkew")
    assert scene.passed() < 2 * STATE_SECONDS + MINUTE + WAY_SECONDS + SLACK_SECONDS
    for host in (scene.primary, scene.secondary):
        scene.stage.state(host, "Normal")
    scene.secondary.mend("clock_apart")
    scene.one_page()


@incident()
def not_authorized(scene: Scene) -> None:
    scene.primary.break_("not_authorized")
    text = scene.paged("ServerNotAuthorized")
    assert scene.passed() < CHECKS_SECONDS + 2 * MINUTE + WAY_SECONDS + SLACK_SECONDS
    assert scene.primary.name in text
    scene.primary.mend("not_authorized")
    scene.one_page()


def fingerprints(scope: str) -> str:
    """How many different ones both partners' reservations of a scope have."""
    series = f'dhcp_failover_scope_config_fingerprint{{scope="{scope}",part="reservations"}}'
    return f'count(count_values("print", {series}))'


@incident()
def reservation_on_one_partner(scene: Scene) -> None:
    scope = next(iter(scene.made.primary.scopes))
    reserved = Reservation(f"{scope.rpartition('.')[0]}.200", "00-15-5d-00-00-01")
    scene.made.primary.add_reservation(scope, reserved)
    prints = fingerprints(scope)
    one_audit = AUDIT_SECONDS + SCRAPE_SECONDS + SLACK_SECONDS
    eventually(lambda: scene.stage.prometheus.value(prints) == 2, one_audit, "the drift, by scope and part")
    text = scene.paged("ConfigurationDrift", receiver="chat", within=90)
    assert "reservations of 1 scope" in text
    scene.made.primary.replicate("reservation-on-one-partner shared")
    scene.stage.resolved(scene.pair, receiver="chat")
    assert scene.stage.prometheus.value(prints) == 1
    scene.no_page()


@incident()
def replicated_within_half_an_hour(scene: Scene) -> None:
    scope = next(iter(scene.made.primary.scopes))
    reserved = Reservation(f"{scope.rpartition('.')[0]}.200", "00-15-5d-00-00-01")
    scene.made.primary.add_reservation(scope, reserved)
    prints = fingerprints(scope)
    eventually(lambda: scene.stage.prometheus.value(prints) == 2, 30, "the drift is in the metrics")
    eventually(lambda: scene.passed() > 30 * MINUTE, 60, "half an hour at the stage's pace")
    scene.made.primary.replicate("replicated-within-half-an-hour shared")
    eventually(lambda: scene.stage.prometheus.value(prints) == 1, 30, "the drift is gone")
    eventually(lambda: scene.passed() > 95 * MINUTE, 90, "longer than drift may last")
    assert scene.stage.receiver.sent("chat", scene.pair) == []


@incident()
def scope_outside_failover(scene: Scene) -> None:
    unprotected(scene.made.primary, scopes(1, "10.240.0.0/24", name="Forgotten"))
    text = scene.paged("ScopeUnprotected", receiver="chat", within=70)
    assert scene.primary.name in text
    scene.made.primary.remove_scope("10.240.0.0")
    scene.stage.resolved(scene.pair, receiver="chat")
    scene.no_page()


@incident()
def parameters_differ(scene: Scene) -> None:
    name = "parameters-differ shared"
    scene.made.primary.set_failover_parameters(name, mclt_seconds=2 * MCLT_SECONDS)
    assert "MaxClientLeadTime" in scene.paged("ParametersDiffer", receiver="chat")
    scene.made.primary.set_failover_parameters(name, mclt_seconds=MCLT_SECONDS)
    scene.stage.resolved(scene.pair, receiver="chat")
    scene.no_page()


@incident(Setup(pace=PACE, population=Population(clients=20, stay_seconds=5.0, away_seconds=5.0)))
def binding_updates_rejected(scene: Scene) -> None:
    pools = list(scene.made.primary.pools.values())
    for pool in pools:
        pool.refuses_updates = "the address is in no pool"
    scene.paged("BindingUpdatesRejected", receiver="chat")
    for pool in pools:
        pool.refuses_updates = None
    scene.stage.resolved(scene.pair, receiver="chat")
    scene.no_page()


def time_for_a_warning() -> None:
    """As long as a warning would have needed to come."""
    came = time.monotonic()
    wanted = 10 * MINUTE + POOLS_SECONDS + WAY_SECONDS
    eventually(lambda: time.monotonic() - came > wanted, wanted + 10, "no warning came")


# --- the stage --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """The stage after its incidents; each future is one incident from its fault to its all-clear."""

    stage: Stage
    pairs: dict[str, Pair]
    futures: dict[str, Future[None]]


@pytest.fixture(scope="module", autouse=True)
def suffering(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Demo, Future[None]]]:
    """The demo and its incident, which takes minutes: first of all, so that they pass beside the stage."""
    with (
        demo(program("prometheus"), tmp_path_factory.mktemp("demo")) as running,
        ThreadPoolExecutor(1) as thread,
    ):
        yield running, thread.submit(running.suffer)


@pytest.fixture(scope="module")
def suffered(suffering: tuple[Demo, Future[None]]) -> Demo:
    """The demo once its incident is over."""
    running, incident = suffering
    incident.result()
    return running


@pytest.fixture(scope="module")
def played(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Every incident at once."""
    pairs = {name: each.pair(number) for number, (name, each) in enumerate(INCIDENTS.items(), 1)}
    with (
        stage(list(pairs.values()), program, tmp_path_factory.mktemp("stage")) as ready,
        ThreadPoolExecutor(len(INCIDENTS)) as threads,
    ):
        started = time.monotonic()
        futures = {
            name: threads.submit(each.play, Scene(ready, pairs[name])) for name, each in INCIDENTS.items()
        }
        for future in futures.values():
            future.exception()
        print(f"all incidents took {time.monotonic() - started:.0f} s")
        assert time.monotonic() - started < 120
        yield Played(ready, pairs, futures)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", INCIDENTS)
def test_incident(name: str, played: Played) -> None:
    played.futures[name].result()


@pytest.mark.timeout(240)
def test_nobody_was_paged_but_for_the_incidents_and_once_each(played: Played) -> None:
    """Seen at the end of all: an incident looks at its own pair, and only until its all-clear."""
    receiver = played.stage.receiver
    assert receiver.pages("pager", "") == 0, "nothing without a pair was the matter"
    twice = {
        scene.pair: [sorted(each.firing) for each in receiver.sent("pager", scene.pair)]
        for scene in (Scene(played.stage, pair) for pair in played.pairs.values())
        if receiver.pages("pager", scene.pair) > 1
    }
    assert not twice


@pytest.mark.timeout(120)
def test_a_refused_credential_is_one_page_about_the_credential(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs = [Incident(port_into_secondary_blocked).pair(1)]
    with stage(pairs, program, tmp_path_factory.mktemp("stage")) as ready:
        for host in ready.lab.hosts.values():
            host.break_("wrong_password")
        page = ready.paged("", "CredentialRefused")
        assert "lab" in page.text("CredentialRefused")
        unreachable = time.monotonic() + 10 * MINUTE + WAY_SECONDS
        eventually(lambda: time.monotonic() > unreachable, 60, "time for other alerts")
        for host in ready.lab.hosts.values():
            host.mend("wrong_password")
        assert HTTP.post(f"{ready.exporter.url}-/reload", timeout=10).status_code == httpx.codes.OK
        ready.resolved("")
        assert ready.receiver.pages("pager", "") == 1
        names = {name for each in ready.receiver.notifications for name in each.firing}
        assert names == {"CredentialRefused"}


@pytest.mark.timeout(120)
def test_a_killed_exporter_is_one_page_and_no_all_clear_for_others(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs = [Incident(partner_dead_and_taken_over, Setup(pace=replace(PACE, state_switch=4.0))).pair(1)]
    with stage(pairs, program, tmp_path_factory.mktemp("stage")) as ready:
        scene = Scene(ready, pairs[0])
        scene.secondary.break_("host_down")
        scene.paged("PartnerDown")
        ready.exporter.running.kill()
        ready.paged("", "ExporterDown")
        held = time.monotonic() + 10 * MINUTE
        eventually(lambda: time.monotonic() > held, 60, "time for a false all-clear")
        assert ready.receiver.pages("pager", "") == 1
        assert ready.receiver.pages("pager", scene.pair) == 1
        assert ready.receiver.sent("pager", scene.pair)[-1].firing >= {"PartnerDown"}


# --- what the dashboards make of an incident --------------------------------------------------------------

# Queries (dashboard: panel, refId) that the demo leaves without data, each with the reason; all else must have some.
UNANSWERED: Mapping[str, str] = {
    "dhcp-failover-fleet: Relationships, worst first, I": "Drift: both partners have the same configuration",
    "dhcp-failover-fleet: Configuration that differs, A": "the same",
    "dhcp-failover-relationship: Scopes, H": "Parts that differ: the same",
    "dhcp-failover-relationship: Drift by scope, A": "the same",
    "dhcp-failover-relationship: If the partner died now, D": "Dry scopes: no pool runs dry in minutes",
}
SOME_MINUTES = 3 * 60


def pages(running: Demo, dashboard: str, until: float) -> Iterator[Page]:
    """The dashboard as it was left open, every second scrape; one about a pair, of each pair."""
    chosen: list[Mapping[str, str]] = [EVERYTHING]
    if dashboard == "dhcp-failover-relationship":
        chosen = [of_pair(pair, relationship) for pair, relationship in PAIRS.items()]
    for back in range(0, int(until - running.began), 2 * int(DEMO_SCRAPE_SECONDS)):
        for variables in chosen:
            end = until - back
            url, span = running.prometheus.url, end - running.began + DEMO_SCRAPE_SECONDS
            yield Page(url, end, span, variables, DEMO_SCRAPE_SECONDS)


def dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each with its uid."""
    for path in sorted((ROOT / "dashboards").glob("*.json")):
        yield path.stem, json.loads(path.read_text())


@pytest.mark.timeout(330)
def test_every_query_of_the_dashboards_is_answered_about_the_demo(suffered: Demo) -> None:
    eventually(lambda: suffered.scraped_seconds() >= SOME_MINUTES, SOME_MINUTES, "some minutes of scrapes")
    unanswered, too_many, until = set(), [], time.time()
    for uid, dashboard in dashboards():
        for panel in dashboard["panels"]:
            name = f"{uid}: {panel['title']}"
            found, most = most_answered(panel, pages(suffered, uid, until))
            unanswered |= {f"{name}, {ref}" for ref, series in found.items() if not series}
            if most > room(panel):
                too_many.append((name, most))
    assert unanswered == UNANSWERED.keys()
    assert not too_many


@pytest.mark.timeout(330)
def test_every_variable_of_the_dashboards_has_values_in_the_demo(suffered: Demo) -> None:
    for uid, dashboard in dashboards():
        page = next(pages(suffered, uid, time.time()))
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                offered = page.choices(variable)
                assert offered, f"{uid}: {variable['name']}"
                assert variable["name"] != "pair" or offered == PAIRS.keys()
