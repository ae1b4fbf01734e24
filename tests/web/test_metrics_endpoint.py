"""/metrics: what it serves, in which form, and that it waits for nobody."""

import gzip
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
# Untyped in prometheus_client.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics.text_string_to_metric_families
OWN = ("process_", "python_", "dhcp_failover_exporter_")


def about_servers(text: str) -> list[str]:
    """The lines that do not change from one scrape to the next."""
    return [
        line
        for line in text.splitlines()
        if not any(prefix in line for prefix in OWN)
        and "_timestamp_" not in line
        and "_polls_total" not in line
    ]


def test_families_of_servers_and_of_the_exporter_are_joined(site: Any, client_of: Any) -> None:
    site.pair()
    text = client_of(site).get("/metrics").text
    families = {family.name: family for family in parse_text(text)}
    states = {
        (s.labels["server"], s.labels["state"]): s.value for s in families["dhcp_failover_state"].samples
    }
    assert states["dhcp01.lab.local", "Normal"] == states["dhcp02.lab.local", "Normal"] == 1
    for own in ("exporter_build_info", "exporter_time_seconds", "exporter_config_last_reload_successful"):
        assert f"dhcp_failover_{own}" in families
    assert {"process_resident_memory_bytes", "python_info"} <= families.keys()


def test_no_family_comes_twice(site: Any, client_of: Any) -> None:
    site.pair()
    text = client_of(site).get("/metrics").text
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)) > 40
    assert not [head for head in heads if "_created" in head], "times of creation are nobody's metrics"


def test_openmetrics_parses_and_ends_once(site: Any, client_of: Any) -> None:
    site.pair()
    answer = client_of(site).get("/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.count("# EOF") == 1
    assert any(family.name == "dhcp_failover_state" for family in parse_openmetrics(answer.text))


def test_plain_is_text_0_0_4_and_says_what_it_depends_on(site: Any, client_of: Any) -> None:
    site.pair()
    answer = client_of(site).get("/metrics", headers={"Accept": "*/*"})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in answer.headers


def test_compressed_and_plain_say_the_same(site: Any, client_of: Any) -> None:
    site.interval = "1h"
    site.pair()
    client = client_of(site)
    plain = client.get("/metrics", headers={"Accept-Encoding": "identity"})
    with client.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        compressed = gzip.decompress(b"".join(answer.iter_raw())).decode()
    assert about_servers(compressed) == about_servers(plain.text)
    assert len(about_servers(compressed)) > 100


@pytest.mark.parametrize(
    ("query", "there", "absent"),
    [
        ("collect[]=state", "dhcp_failover_state", "dhcp_failover_scope_addresses_free"),
        ("collect[]=pools", "dhcp_failover_scope_addresses_free", "dhcp_failover_state"),
        (
            "collect[]=state&collect[]=pools",
            "dhcp_failover_scope_addresses_free",
            "dhcp_failover_server_authorized",
        ),
    ],
)
def test_collect_selects_groups(site: Any, client_of: Any, query: Any, there: Any, absent: Any) -> None:
    site.pair()
    names = {family.name for family in parse_text(client_of(site).get(f"/metrics?{query}").text)}
    assert there in names
    assert absent not in names


def test_own_families_come_with_the_state_only(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    assert "process_" in client.get("/metrics?collect[]=state").text
    assert "process_" not in client.get("/metrics?collect[]=pools").text


def test_unknown_group_is_one_sentence(site: Any, client_of: Any) -> None:
    site.pair()
    answer = client_of(site).get("/metrics?collect[]=state&collect[]=drift")
    assert answer.status_code == 400
    assert answer.text == "collect[] 'drift' is unknown: use state, pools, checks, audit\n"


def test_a_silent_server_holds_up_no_scrape(site: Any, client_of: Any) -> None:
    left, _ = site.pair()
    client = client_of(site)
    left.silent.clear()
    started = time.monotonic()
    assert client.get("/metrics").status_code == 200
    assert time.monotonic() - started < 2.5  # a poll of the silent one takes its whole timeout of 5 s


def test_every_answer_has_the_security_headers(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    named = "pair=dhcp01.lab.local|dhcp02.lab.local&name=lab-failover"
    for path, status in (
        ("/", 200),
        (f"/relationship?{named}", 200),
        ("/relationship", 400),
        ("/relationship?pair=a|b&name=x", 404),
        ("/api/v1/pairs", 200),
        ("/api/v1/servers", 200),
        (f"/api/v1/relationships?{named}", 200),
        ("/api/v1/relationships", 400),
        ("/api/v1/relationships?pair=a|b&name=x", 404),
        ("/metrics", 200),
        ("/metrics?collect[]=no", 400),
        ("/static/page.js", 200),
        ("/nowhere", 404),
        ("/-/reload", 405),
    ):
        answer = client.get(path)
        assert answer.status_code == status, path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ), path
    refusal = client.request("GET", "/", content=b"x")
    assert refusal.status_code == 413
    assert "content-security-policy" in refusal.headers


def test_request_bodies_are_refused_at_once(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    assert client.request("GET", "/metrics", content=b"x").status_code == 413
    assert client.post("/-/reload", content=b"x").status_code == 413
    assert client.post("/-/reload", content=iter([b"x"])).status_code == 413, "chunked"
