"""The real exporter and fleets of simulated servers: refused ones, changed ones, watched twice."""

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from dhcp_failover_exporter.simulator.lab import Lab
from dhcp_failover_exporter.simulator.windows import Pair, Reservation, hub
from e2e.fleet import FAST, pair, polls, up, watched
from e2e.servers import HTTP, Exporter, Prometheus, eventually, exporter, prometheus, scrape_job

pytestmark = pytest.mark.e2e


def test_one_wrong_password_is_tried_by_one_of_twenty_servers(tmp_path: Path) -> None:
    with Lab([pair(number) for number in range(1, 11)]) as lab:
        right = lab.account
        for host in lab.hosts.values():
            host.winrm.replace_accounts([replace(right, password="changed by the domain's administrator")])
        with watched(lab, tmp_path) as running:
            eventually(
                lambda: all(polls(running, host) >= 3 for host in lab.hosts.values()), 30, "three polls each"
            )
            refused = sum(sum(host.winrm.refused_logons.values()) for host in lab.hosts.values())
            assert 1 <= refused <= 3
            suspended = [line for line in running.metrics().splitlines() if 'reason="suspended"} 1' in line]
            assert len([line for line in suspended if "poll_failed" in line]) >= 17
            password = "changed by the domain's administrator"
            (lab.folder / "password").write_text(password)
            eventually(
                lambda: all(up(running, host) == 1 for host in lab.hosts.values()),
                20,
                "the new secret is tried",
            )
            assert password not in running.logged()
            assert right.password not in running.logged()


@pytest.mark.parametrize("path", ["/metrics", "/probe"])
def test_two_prometheus_servers_cost_no_more_polls_than_one(
    path: str, program: Callable[[str], str], tmp_path: Path
) -> None:
    with Lab([pair(1)]) as lab, watched(lab, tmp_path, polling=path == "/metrics") as running:
        host = next(iter(lab.hosts.values()))
        job = scrape_job(
            httpx.URL(running.url).netloc.decode(), metrics_path=path, params={"target": [host.name]}
        )

        def another() -> contextlib.AbstractContextManager[Prometheus]:
            return prometheus(
                program("prometheus"), tmp_path / secrets.token_hex(4), {"scrape_configs": [job]}
            )

        def polls_per_second(servers: Sequence[Prometheus]) -> float:
            eventually(lambda: all(each.value("up") == 1 for each in servers), 20, "all scrape")
            began, before = time.monotonic(), polls(running, host)
            eventually(lambda: polls(running, host) >= before + 4, 20, "four polls")
            return 4 / (time.monotonic() - began)

        with another() as first:
            alone = polls_per_second([first])
            with another() as second:
                assert polls_per_second([first, second]) < 1.3 * alone


def test_a_reload_with_one_changed_server_keeps_the_sessions_of_all_others(tmp_path: Path) -> None:
    calm = {"state": "5s", "pools": "1h", "checks": "1h", "audit": "1h"}
    only_state = dict.fromkeys(
        ("ports", "scopes", "statistics", "counters", "events", "settings", "firewall", "configuration"),
        False,
    )
    with (
        Lab([pair(number) for number in range(1, 26)]) as lab,
        exporter(lab.configuration(intervals=calm, sections=only_state), tmp_path) as running,
    ):
        eventually(lambda: len(ups(running)) == 50, 60, "all 50 are up")
        changed, *others = lab.hosts.values()
        shells = {host.name: host.winrm.shells_opened for host in others}
        file = tmp_path / "exporter.yml"
        content = yaml.safe_load(file.read_text())
        content["servers"][0]["timeout"] = "9s"
        file.write_text(yaml.safe_dump(content))
        polled = {host.name: host.winrm.commands for host in others}
        assert HTTP.post(f"{running.url}-/reload", timeout=10).status_code == httpx.codes.OK
        eventually(
            lambda: all(host.winrm.commands > polled[host.name] for host in others),
            60,
            "all were polled again",
        )
        eventually(lambda: changed.winrm.shells_opened == 2, 20, "the changed one has a new session")
        assert {host.name: host.winrm.shells_opened for host in others} == shells
        eventually(lambda: len(changed.winrm.shells) == 1, 5, "the old session is closed")


def ups(running: Exporter) -> list[str]:
    return re.findall(r'^dhcp_failover_up{server="(.*)"} 1$', running.metrics("state"), re.MULTILINE)


def test_one_pair_watched_by_two_exporters_has_comparable_fingerprints(tmp_path: Path) -> None:
    watched_pair = pair(1, 3)
    scope = next(iter(watched_pair.primary.scopes))

    def prints(running: Exporter) -> dict[str, str]:
        """Fingerprint by scope, part and scheme, whoever watches which server."""
        name = "dhcp_failover_scope_config_fingerprint"
        series = re.findall(rf'^{name}{{server="[^"]*",(.*)}} (\d+)$', running.metrics("audit"), re.MULTILINE)
        return dict(series)

    with contextlib.ExitStack() as running:
        lab = running.enter_context(Lab([watched_pair]))
        quick = {**FAST, "audit": "2s"}
        first, second = (
            running.enter_context(exporter(lab.configuration(hosts=[name], intervals=quick), tmp_path / name))
            for name in lab.hosts
        )
        eventually(
            lambda: len(prints(first)) == 3 * 5 and prints(first) == prints(second), 30, "all are equal"
        )
        watched_pair.primary.add_reservation(scope, Reservation(f"{scope[:-1]}200", "00-15-5d-00-00-01"))
        eventually(
            lambda: different(prints(first), prints(second)) == [("reservations", scope)], 30, "one differs"
        )


def different(ours: dict[str, str], theirs: dict[str, str]) -> list[tuple[str, str]]:
    """Part and scope of the fingerprints that are not equal."""
    labels = sorted(
        series for series in ours.keys() | theirs.keys() if ours.get(series) != theirs.get(series)
    )
    return [(re.findall('part="(.*?)"', it)[0], re.findall('scope="(.*?)"', it)[0]) for it in labels]


def test_a_hub_with_many_partners_is_one_server_in_many_pairs(tmp_path: Path) -> None:
    network, centre, branches = hub(5)
    with Lab([Pair(network, centre, branches[0])]) as lab, watched(lab, tmp_path) as running:
        count = f'dhcp_failover_relationships{{server="{centre.fqdn}"}}'
        eventually(lambda: running.value(count) == 5, 20, "five relationships")
        pairs = {
            line.split('pair="')[1].split('"')[0]
            for line in running.metrics().splitlines()
            if 'pair="' in line
        }
        assert pairs == {f"{branch.fqdn}|{centre.fqdn}" for branch in branches}
