"""The status page's HTML and the JSON API, without a browser."""

import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dhcp_failover_exporter.config import Credential, Intervals, ServerSettings
from dhcp_failover_exporter.errors import SuspendedError
from dhcp_failover_exporter.failover import ClockOffset
from dhcp_failover_exporter.web.page import refresh_seconds, report


class Elements(HTMLParser):
    """Every start tag with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(client: Any, path: str = "/") -> Elements:
    answer = client.get(path)
    assert answer.status_code == 200
    return Elements(answer.text)


def test_shows_both_partners_and_links_to_everything(site: Any, client_of: Any) -> None:
    site.pair(states=("CommunicationInterrupted", "Normal"))
    shown = page(client_of(site))
    for word in ("dhcp01.lab.local", "dhcp02.lab.local", "CommunicationInterrupted", "Normal", "30 % used"):
        assert word in shown.text, word
    links = [attributes.get("href") for tag, attributes in shown.tags if tag == "a"]
    assert {"/metrics", "/api/v1/pairs", "/config", "/-/ready"} <= set(links)


def test_hostile_names_are_text(site: Any, client_of: Any, hostile: str) -> None:
    assert len(hostile) == 126
    scope_name = "<img src=x onerror=alert(1)>".ljust(126, "n")
    left, _ = site.pair(name=hostile, scope_name=scope_name)
    left.relationship.update(PartnerServer=hostile, SecondaryServerName=hostile, State=hostile)
    client = client_of(site)
    shown = page(client)
    assert [attributes for tag, attributes in shown.tags if tag == "script"] == [
        {"src": "/static/page.js", "type": "module"}
    ]
    text = hostile.replace("\u202e", "[U+202E]").replace("\u200f", "[U+200F]")
    assert shown.text.count(text) >= 3, "relationship, partner and state"
    path = next(
        attributes["href"] for tag, attributes in shown.tags if tag == "a" and "pair=" in str(attributes)
    )
    own = page(client, str(path))
    assert "img" not in {tag for tag, _ in own.tags}
    assert own.text.count(text) >= 4, "title, too"
    assert scope_name in own.text


def test_whatever_a_server_says_turns_nothing_around(site: Any, client_of: Any) -> None:
    left, _ = site.pair()
    turned = "ev\u202eil\x07"
    left.relationship.update(PartnerServer=turned, SecondaryServerName=turned, State=turned, Mode=turned)
    left.data["ports"][0].update(PartnerServer=turned, Reachable=False, Error=turned)
    client = client_of(site)
    shown = page(client)
    path = next(
        str(attributes["href"]) for tag, attributes in shown.tags if tag == "a" and "pair=" in str(attributes)
    )
    for html in (client.get("/").text, client.get(path).text):
        assert html.count("ev[U+202E]il[U+0007]") > 5
        assert not {"\u202e", "\x07"} & set(html)


def test_nothing_is_inline_and_nothing_comes_from_outside(site: Any, client_of: Any) -> None:
    site.pair()
    for tag, attributes in page(client_of(site)).tags:
        assert tag != "style"
        assert not {name for name in attributes if name == "style" or name.startswith("on")}, (
            tag,
            attributes,
        )
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#")), (tag, attributes)


def test_filter_looks_at_servers_relationships_states_and_scopes(site: Any, client_of: Any) -> None:
    site.pair("berlin1", "berlin2", name="campus", states=("PartnerDown", "Recover"))
    site.pair("paris1", "paris2", name="tower", scope_name="Lobby")
    client = client_of(site)

    def pairs(query: str) -> list[str | None]:
        return [attributes["id"] for tag, attributes in page(client, f"/?{query}").tags if tag == "article"]

    both = pairs("")
    assert len(both) == 2
    assert pairs("filter=BERLIN") == pairs("filter=campus") == pairs("filter=partnerdown") == both[:1]
    assert pairs("problems=true") == both[:1]
    assert pairs("filter=lobby") == both[1:]
    assert pairs("filter=lobby&problems=true") == []
    assert "Nothing matches the filter." in page(client, "/?filter=nobody").text


def test_relationship_page_shows_scopes_and_marks_what_differs(site: Any, client_of: Any) -> None:
    _, right = site.pair(name="lab", scopes=2)
    right.relationship["MaxClientLeadTime"] = 1800
    shown = page(client_of(site), "/relationship?pair=dhcp01.lab.local|dhcp02.lab.local&name=lab")
    for word in ("10.0.0.0/24", "10.0.1.0/24", "office", "1 h", "30 min", "differs"):
        assert word in shown.text, word


def test_a_relationship_that_is_gone_is_a_page_with_404(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    for query, status in (
        ("", 400),
        ("?pair=a|b", 400),
        ("?name=x", 400),
        ("?pair=a|b&name=x", 404),
        ("?pair=dhcp01.lab.local|dhcp02.lab.local&name=<b>", 404),
    ):
        answer = client.get(f"/relationship{query}")
        assert answer.status_code == status
        assert ("It was removed" in answer.text) is (status == 404)
        assert 'id="live"' in answer.text
        assert "<b>" not in answer.text


def test_api_gives_the_views(site: Any, client_of: Any) -> None:
    site.pair(name="lab", states=("PartnerDown", "Recover"))
    client = client_of(site)
    pairs = client.get("/api/v1/pairs").json()["pairs"]
    assert [pair["severity"] for pair in pairs] == ["critical"]
    relationship = pairs[0]["relationships"][0]
    assert [side["state"] for side in relationship["sides"]] == ["PartnerDown", "Recover"]
    assert relationship["scopes"] == []
    asked = {"pair": pairs[0]["pair"], "name": "lab"}
    scopes = client.get("/api/v1/relationships", params=asked).json()["scopes"]
    assert [scope["pool"]["in_use"] for scope in scopes] == [60, 60, 60]
    servers = client.get("/api/v1/servers").json()["servers"]
    assert [(server["server"], server["up"]) for server in servers] == [
        ("dhcp01.lab.local", True),
        ("dhcp02.lab.local", True),
    ]


README = (Path(__file__).parents[2] / "README.md").read_text()


def told(name: str) -> list[str]:
    """The fields of an object, as the README lists them."""
    table = README.partition("<!-- api -->")[2].partition("<!-- /api -->")[0]
    (fields,) = re.findall(rf"^\| {name} \| (.*) \|$", table, re.MULTILINE)
    return re.findall(r"`(\w+)`", fields)


def test_api_answers_what_the_readme_says(site: Any, client_of: Any) -> None:
    site.pair(name="lab")
    client = client_of(site)
    for endpoint in ("pairs", "servers"):
        (line,) = re.findall(rf"^    GET /api/v1/{endpoint} +(\{{.*)$", README, re.MULTILINE)
        answer = client.get(f"/api/v1/{endpoint}").json()
        assert list(answer) == re.findall(r'"(\w+)":', line)
        assert list(answer[endpoint][0]) == told(endpoint.removesuffix("s"))
    asked = {"pair": "dhcp01.lab.local|dhcp02.lab.local", "name": "lab"}
    relationship = client.get("/api/v1/relationships", params=asked).json()
    assert list(relationship) == told("relationship")
    for name, part in (
        ("side", relationship["sides"][0]),
        ("port", relationship["sides"][0]["port"]),
        ("pool", relationship["pool"]),
        ("scope", relationship["scopes"][0]),
        ("parameter", relationship["parameters"][0]),
    ):
        assert list(part) == told(name), name


def test_api_says_404_in_json(site: Any, client_of: Any) -> None:
    site.pair()
    answer = client_of(site).get("/api/v1/relationships?pair=a|b&name=x")
    assert answer.status_code == 404
    assert answer.json() == {"error": "no relationship 'x' is known between 'a|b'"}


@pytest.mark.parametrize(
    ("query", "missing"),
    [("", "pair"), ("?name=x", "pair"), ("?pair=a|b", "name"), ("?pair=a|b&name=", "name")],
)
def test_api_says_400_for_a_relationship_that_nobody_named(
    site: Any, client_of: Any, query: str, missing: str
) -> None:
    site.pair()
    answer = client_of(site).get(f"/api/v1/relationships{query}")
    assert answer.status_code == 400
    assert answer.json() == {"error": f"parameter {missing} is missing: ask with ?pair=PAIR&name=NAME"}


def test_a_refused_configuration_is_told_on_top_until_it_is_mended(site: Any, client_of: Any) -> None:
    site.pair(name="lab")
    client = client_of(site)
    own = "/relationship?pair=dhcp01.lab.local|dhcp02.lab.local&name=lab"
    before = time.time()
    for _ in range(2):
        site.write(servers=[{"name": "a", "port": "x"}])
        assert client.post("/-/reload").status_code == 500
    for path in ("/", own):
        told = page(client, path).text
        assert "The exporter runs with an old configuration" in told
        assert "servers[0].port" in told
        assert "after a restart the exporter would not start" in told
    refused = client.get("/api/v1/pairs").json()["configuration_refused"]
    assert before <= refused["since"] <= time.time()
    assert "servers[0].port: " in refused["mistakes"][0]
    site.write()
    assert client.post("/-/reload").status_code == 200
    assert "old configuration" not in page(client).text
    assert client.get("/api/v1/pairs").json()["configuration_refused"] is None


def test_a_refusal_counts_from_its_first_try(site: Any, client_of: Any) -> None:
    site.pair()
    client = client_of(site)
    since = []
    for _ in range(2):
        site.write(servers=[{"name": "a", "port": "x"}])
        client.post("/-/reload")
        since.append(client.get("/api/v1/pairs").json()["configuration_refused"]["since"])
    assert since[0] == since[1]


def test_a_server_that_stopped_answering_shows_as_of_when_its_state_is(
    site: Any, client_of: Any, eventually: Any, unreachable: Any
) -> None:
    left, _ = site.pair()
    client = client_of(site)
    assert "last poll failed" not in page(client).text
    left.fault = unreachable
    told = eventually(lambda: text if "last poll failed" in (text := page(client).text) else None)
    assert "as of" in told
    assert "last poll failed: unreachable" in told
    servers = client.get("/api/v1/pairs").json()["pairs"][0]["relationships"][0]["sides"]
    assert [(side["state"], side["reason"]) for side in servers] == [
        ("Normal", "unreachable"),
        ("Normal", None),
    ]


def test_a_suspended_server_is_told_as_not_tried(site: Any, client_of: Any) -> None:
    left, _ = site.pair()
    left.fault = SuspendedError("credential lab: refused less than 10 minutes ago")
    told = page(client_of(site)).text
    for words in (
        "suspended: not tried",
        "The exporter is not trying to log on",
        "refused less than 10 minutes",
    ):
        assert words in told, words


def _configuration(subnet: str, router: str) -> dict[str, Any]:
    options = [{"OptionId": 3, "Value": [router]}]
    empty: dict[str, Any] = {"Reservations": [], "Exclusions": [], "Policies": []}
    return {"ScopeId": subnet, "Scope": {"ScopeId": subnet, "Name": "office"}, "Options": options, **empty}


def test_the_last_try_of_a_server_that_fails_is_told(site: Any, client_of: Any, unreachable: Any) -> None:
    site.interval = "1h"
    left, _ = site.pair()
    left.fault = unreachable
    before = time.time()
    client = client_of(site)
    failing, answering = client.get("/api/v1/servers").json()["servers"]
    assert failing["server"] == left.name
    assert before <= failing["polled"] <= time.time()
    assert failing["answered"] is None
    assert answering["polled"] == pytest.approx(answering["answered"], abs=0.5)
    assert re.search(r"tried .* s ago, not answered yet", page(client).text)


@pytest.mark.parametrize(
    ("intervals", "seconds"),
    [((15.0, 60.0), 5.0), ((60.0, 3.0), 3.0), ((0.2, 60.0), 1.0), ((), 5.0)],
)
def test_a_page_asks_as_often_as_news_can_come(intervals: tuple[float, ...], seconds: float) -> None:
    servers = [
        ServerSettings(name="d", credential=Credential(name="c"), intervals=Intervals(state_seconds=interval))
        for interval in intervals
    ]
    assert refresh_seconds(servers) == seconds


def test_a_page_says_how_often_it_will_ask(site: Any, client_of: Any) -> None:
    site.interval = "3s"
    site.pair()
    (body,) = (attributes for tag, attributes in page(client_of(site)).tags if tag == "body")
    assert body["data-refresh-seconds"] == "3.0"


def test_drift_between_the_partners_is_told(site: Any, client_of: Any, eventually: Any) -> None:
    site.interval = "1s"  # leaves room for an audit between the polls
    left, right = site.pair(scopes=2)
    for machine, router in ((left, "10.0.0.1"), (right, "10.0.0.254")):
        machine.data["configuration"] = [
            _configuration("10.0.0.0", router),
            _configuration("10.0.1.0", "10.0.1.1"),
        ]
    client = client_of(site)
    eventually(lambda: all("configuration" in entry.sections for entry in site.engine.entries().values()))
    told = page(client).text
    assert "configured differently on its servers" in told
    assert "options of 10.0.0.0" in told
    assert "10.0.1.0" not in told


@pytest.mark.parametrize(("scope_metrics", "told"), [("all", True), ("failover", False)])
def test_scopes_outside_failover_are_told_where_the_metrics_tell_of_them(
    site: Any, client_of: Any, eventually: Any, scope_metrics: str, told: bool
) -> None:
    left, _ = site.pair()
    loose = {"ScopeId": "10.9.0.0", "SubnetMask": "255.255.255.0", "Name": "loose"}
    left.data["scopes"] += [
        {**loose, "State": "Active"},
        {**loose, "ScopeId": "10.8.0.0", "State": "InActive"},
    ]
    site.scope_metrics = scope_metrics
    client = client_of(site)
    eventually(lambda: "scopes" in site.engine.entries()[left.name].sections)
    text = page(client).text
    assert ("Active scopes belong to no relationship" in text) is told
    assert ("10.9.0.0" in text) is told
    assert "10.8.0.0" not in text


def test_an_unreachable_server_is_told_with_what_to_do(site: Any, client_of: Any, unreachable: Any) -> None:
    left, _ = site.pair()
    left.fault = unreachable
    shown = page(client_of(site))
    for words in ("unreachable", "No connection to WinRM.", "Check that the host runs", "Connection refused"):
        assert words in shown.text, words


def test_without_polling_the_page_says_that_nothing_was_asked_yet(site: Any, client_of: Any) -> None:
    site.polling = False
    site.pair()
    assert "No server has told of a failover relationship yet." in page(client_of(site)).text


def test_answers_that_are_no_longer_fresh_are_remembered_and_not_shown(site: Any, client_of: Any) -> None:
    site.interval = "1h"
    left, _ = site.pair()
    client_of(site)
    server, entry = site.engine.settings.server(left.name), site.engine.entries()[left.name]
    now = time.monotonic()
    assert "relationships" in report(server, entry, 0.0, now).sections
    told = replace(entry, clock=ClockOffset(40.0, 0.1))
    assert report(server, told, 0.0, now).clock == told.clock
    late = report(server, told, 0.0, now + 10_000)
    assert (late.up, late.reason, dict(late.sections), late.clock) == (False, "timeout", {}, None)
    assert [relationship.name for relationship in late.remembered] == ["lab-failover"]
