"""/probe: one server, its next state result, within the time that Prometheus leaves."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from dhcp_failover_exporter.web.scrape import wait_seconds

TARGET = "/probe?target=dhcp01.lab.local"
TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"


def value(text: str, name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_gives_that_server_only_and_nothing_of_the_exporter(site: Any, client_of: Any) -> None:
    site.pair()
    text = client_of(site).get(TARGET).text
    assert 'server="dhcp01.lab.local"' in text
    assert 'server="dhcp02.lab.local"' not in text
    assert "process_" not in text
    assert value(text, "dhcp_failover_up") == 1


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "target is missing: name one server of the configuration\n"),
        ("?target=", "target is missing: name one server of the configuration\n"),
        ("?target=dhcp01.lab.local&target=x", "target is given more than once: name one server\n"),
        ("?target=dhcp09", "target 'dhcp09' is not in the configuration\n"),
        (
            "?target=dhcp01.lab.local&collect[]=x",
            "collect[] 'x' is unknown: use state, pools, checks, audit\n",
        ),
    ],
)
def test_wrong_targets_are_one_sentence(site: Any, client_of: Any, query: Any, sentence: Any) -> None:
    site.pair()
    answer = client_of(site).get(f"/probe{query}")
    assert (answer.status_code, answer.text) == (400, sentence)


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan", "inf"])
def test_wrong_timeouts_are_one_sentence(site: Any, client_of: Any, header: Any) -> None:
    site.pair()
    answer = client_of(site).get(TARGET, headers={TIMEOUT: header})
    assert answer.status_code == 400
    assert answer.text == "X-Prometheus-Scrape-Timeout-Seconds is no number above 0\n"


def test_target_is_found_whatever_its_letter_case(site: Any, client_of: Any) -> None:
    site.pair()
    assert value(client_of(site).get("/probe?target=DHCP01.LAB.LOCAL").text, "dhcp_failover_up") == 1


def test_unfinished_poll_is_an_answer_up_0_timeout(site: Any, client_of: Any, eventually: Any) -> None:
    """The server answered a moment ago and has 30 s to answer again: only the probe's own deadline can say so."""
    site.timeout = "30s"
    left, _ = site.pair()
    client = client_of(site)
    left.silent.clear()

    def probed() -> str:
        answer = client.get(TARGET, headers={TIMEOUT: "0.8"})
        assert answer.status_code == 200
        return str(answer.text)

    eventually(lambda: value(probed(), "dhcp_failover_up") == 0)
    started, polls = time.monotonic(), left.polls
    assert value(probed(), "dhcp_failover_poll_failed", reason="timeout") == 1
    assert 0.25 < time.monotonic() - started < 0.8
    assert left.polls == polls, "a probe joins the poll in flight"
    assert value(client.get("/metrics?collect[]=state").text, "dhcp_failover_up", server=left.name) == 1


def test_without_polling_the_first_probe_polls(site: Any, client_of: Any) -> None:
    site.polling = False
    left, right = site.pair()
    client = client_of(site)
    assert client.get("/-/ready").status_code == 200
    assert (left.polls, right.polls) == (0, 0)
    assert value(client.get(TARGET).text, "dhcp_failover_up") == 1
    assert (left.polls, right.polls) == (1, 0)


def test_without_polling_a_silent_server_is_up_0_timeout_too(site: Any, client_of: Any) -> None:
    site.polling = False
    left, _ = site.pair()
    client = client_of(site)
    left.silent.clear()
    answer = client.get(TARGET, headers={TIMEOUT: "0.7"})
    assert value(answer.text, "dhcp_failover_up") == 0
    assert value(answer.text, "dhcp_failover_poll_failed", reason="timeout") == 1


def test_a_target_that_a_reload_takes_away_meanwhile_is_one_sentence(
    site: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.polling = False
    left, _ = site.pair()
    client = client_of(site)
    left.silent.clear()
    monkeypatch.setattr(site.engine, "entries", dict)
    answer = client.get(TARGET, headers={TIMEOUT: "0.7"})
    assert (answer.status_code, answer.text) == (
        400,
        "target 'dhcp01.lab.local' is no longer in the configuration\n",
    )


def test_debug_shows_the_probe_its_metrics_and_the_masked_configuration(
    site: Any, client_of: Any, unreachable: Any
) -> None:
    left, _ = site.pair()
    left.fault = unreachable
    text = client_of(site).get(f"{TARGET}&debug=true").text
    assert "not up: unreachable: no connection: Connection refused" in text
    assert 'dhcp_failover_up{server="dhcp01.lab.local"} 0' in text
    assert "password_file: " in text
    assert "hunter2" not in text


def test_debug_tells_of_every_section(site: Any, client_of: Any, eventually: Any) -> None:
    left, _ = site.pair()
    left.refused["settings"] = {"id": "WIN32 5,Get-DhcpServerSetting", "category": "", "message": "denied"}
    client = client_of(site)
    refused = "section settings: incomplete or failed, reason permission"
    eventually(lambda: refused in client.get(f"{TARGET}&debug=true").text)
    assert (
        "section relationships: 1 records, 0.010 s on the server" in client.get(f"{TARGET}&debug=true").text
    )


def test_half_a_second_is_left_for_the_way_back() -> None:
    assert wait_seconds("10") == 9.5
    assert wait_seconds("0.3") == 0.05
    assert wait_seconds(None) == 120.0


@given(st.floats(min_value=0.001, max_value=1e6))
def test_never_longer_than_prometheus_waits(seconds: Any) -> None:
    assert 0 < wait_seconds(str(seconds)) <= max(seconds - 0.5, 0.05)


@pytest.mark.wire
def test_a_hundred_probes_of_hung_servers_do_not_delay_one_of_a_healthy_server(
    site: Any, serve: Any, eventually: Any
) -> None:
    site.timeout, site.interval = "60s", "1h"
    site.polling = False
    for number in range(10):
        for machine in site.pair(f"hung{number}a", f"hung{number}b"):
            machine.silent.clear()
    site.pair("well1", "well2")
    hung = [machine for name, machine in site.machines.items() if name.startswith("hung")]
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(base_url=serve(site.app()), limits=limits, timeout=60) as client,
        ThreadPoolExecutor(100) as pool,
    ):

        def probe(name: str) -> float:
            answer = client.get("/probe", params={"target": name}, headers={TIMEOUT: "60"})
            return value(answer.text, "dhcp_failover_up")

        waiting = [pool.submit(probe, hung[number % len(hung)].name) for number in range(100)]
        eventually(lambda: all(machine.polls for machine in hung), 30)
        assert probe("well1") == 1
        assert not any(result.done() for result in waiting)
        for machine in hung:
            machine.silent.set()
        assert {result.result() for result in waiting} == {1.0}
    assert {machine.polls for machine in hung} == {1}, "probes join the poll in flight"
