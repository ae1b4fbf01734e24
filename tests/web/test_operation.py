"""Health, readiness, reload and the configuration in force."""

from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.testclient import TestClient


def own(client: Any, name: Any) -> Any:
    samples = (s for family in parse_text(client.get("/metrics").text) for s in family.samples)
    return next(sample.value for sample in samples if sample.name == f"dhcp_failover_exporter_{name}")


def test_healthy_while_it_serves(site: Any, client_of: Any) -> None:
    site.pair()
    assert client_of(site).get("/-/healthy").status_code == 200


def test_not_ready_before_every_first_poll_ended(site: Any, eventually: Any, unreachable: Any) -> None:
    left, right = site.pair()
    right.fault = unreachable
    left.silent.clear()
    client = TestClient(site.app())
    answer = client.get("/-/ready")
    assert (answer.status_code, answer.text) == (503, "Not ready: first polls are still under way.\n")
    left.silent.set()
    eventually(lambda: client.get("/-/ready").status_code == 200)


def test_reload_by_post_only(site: Any, client_of: Any) -> None:
    site.pair()
    assert client_of(site).get("/-/reload").status_code == 405


def test_reload_puts_the_file_in_force(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    site.write(servers=[{"name": "dhcp01.lab.local"}])
    assert client.post("/-/reload").status_code == 200
    servers = yaml.safe_load(client.get("/config").text)["servers"]
    assert [server["name"] for server in servers] == ["dhcp01.lab.local"]
    assert own(client, "config_last_reload_successful") == 1


def test_a_bad_file_changes_nothing_and_says_every_mistake(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    before, loaded = client.get("/config").text, own(client, "config_last_reload_success_timestamp_seconds")
    site.write(servers=[{"name": "a", "port": "x"}, {"name": "b", "colour": "red"}])
    answer = client.post("/-/reload")
    assert answer.status_code == 500
    assert "servers[0].port: " in answer.text
    assert "servers[1].colour: " in answer.text
    assert client.get("/config").text == before
    assert own(client, "config_last_reload_successful") == 0
    assert own(client, "config_last_reload_success_timestamp_seconds") == loaded
    assert 'server="dhcp01.lab.local"' in client.get("/metrics").text


def test_a_page_of_another_site_cannot_reload(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    assert client.post("/-/reload", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/-/reload", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_no_answer_shows_a_secret(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    paths = ("/", "/metrics", "/config", "/api/v1/servers", "/probe?target=dhcp01.lab.local&debug=true")
    assert all("hunter2" not in client.get(path).text for path in paths)
    assert "password_file" in client.get("/config").text
