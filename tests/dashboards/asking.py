"""Queries asked as Grafana asks them: variables replaced, one step per point, the panel's own refresh interval."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

# What a panel as wide as the page has room for, where it does not say itself (`maxDataPoints`).
POINTS: Final = 1_200
EVERYTHING: Final = {"job": ".+", "server": ".+", "instance": ".+", "pair": ".+", "relationship": ".+"}


# What a person can tell apart in the largest panel of a kind; a table scrolls.
MOST_SERIES: Final = {"stat": 8, "timeseries": 20, "state-timeline": 20, "table": 500, "text": 0, "row": 0}
# A unit of `gridPos` is 30 pixels and a gap of 8. Of a state timeline's height the title and the axis take their part;
# lower rows than these cannot hold the state's name.
UNIT_PIXELS, HEAD_PIXELS, ROW_PIXELS = 38, 78, 20
# A number with the name below it, in units of width times height.
STAT_AREA: Final = 7


def room(panel: Mapping[str, Any]) -> int:
    """How many series a person can tell apart in it."""
    width, height = int(panel["gridPos"]["w"]), int(panel["gridPos"]["h"])
    most = MOST_SERIES[panel["type"]]
    if panel["type"] == "state-timeline":
        return min(most, (height * UNIT_PIXELS - HEAD_PIXELS) // ROW_PIXELS)
    if panel["type"] == "stat":
        return min(most, max(1, height * width // STAT_AREA))
    return most


def of_pair(pair: str, *relationships: str) -> Mapping[str, str]:
    """The variables of the dashboard about one pair, with all its servers and relationships chosen."""
    return {
        **EVERYTHING,
        "pair": pair,
        "server": _several(pair.split("|")),
        "relationship": _several(relationships),
    }


def _several(names: Sequence[str]) -> str:
    """Several values as Grafana writes them: one regular expression, escaped for a string."""
    return "({})".format("|".join(names).replace(".", "\\\\."))


# A new client for each query would cost more than the query.
_CLIENT: Final = httpx.Client(timeout=120)


@dataclass(frozen=True)
class Answer:
    """One query's answer: its series, and how long Prometheus took."""

    ref: str
    series: list[dict[str, Any]]
    seconds: float


@dataclass(frozen=True)
class Page:
    """An open dashboard: where it asks, for which time range, with which variables.

    `scrape_seconds` is the datasource's "Scrape interval": Grafana never asks for a smaller step.
    """

    url: str
    end: float
    range_seconds: float
    variables: Mapping[str, str]
    scrape_seconds: float = 60.0

    def ask(self, panel: Mapping[str, Any]) -> Iterator[Answer]:
        """Each query of the panel; a refused one is an error with Prometheus' own words."""
        for target in panel.get("targets", ()):
            step = max(self.range_seconds / panel.get("maxDataPoints", POINTS), self.scrape_seconds)
            began = time.perf_counter()
            series = self._asked(self._replaced(target["expr"], step), step, instant=target["instant"])
            yield Answer(target["refId"], series, time.perf_counter() - began)

    def choices(self, variable: Mapping[str, Any]) -> set[str]:
        """The values that Grafana offers for a variable."""
        asks = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert asks, variable
        selector, label = asks.groups()
        query = self._replaced(f"count by ({label}) ({selector})", self.scrape_seconds)
        return {it["metric"][label] for it in self._asked(query, self.scrape_seconds, instant=True)}

    def _asked(self, query: str, step: float, *, instant: bool) -> list[dict[str, Any]]:
        if instant:
            path, times = "query", {"time": self.end}
        else:
            path, times = (
                "query_range",
                {"start": self.end - self.range_seconds, "end": self.end, "step": step},
            )
        answer = _CLIENT.post(f"{self.url}/api/v1/{path}", data={"query": query, **times}).json()
        assert answer["status"] == "success", f"{answer['error']}\n{query}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def _replaced(self, query: str, step: float) -> str:
        rate = max(step + self.scrape_seconds, 4 * self.scrape_seconds)
        query = query.replace("$__rate_interval", f"{rate:.0f}s").replace(
            "$__range", f"{self.range_seconds:.0f}s"
        )
        for name, value in self.variables.items():
            query = query.replace(f"${name}", value)
        assert "$" not in query, f"a variable is left: {query}"
        return query


def shown(panel: Mapping[str, Any], answers: Mapping[str, int]) -> int:
    """How many series a panel shows of so many per query: a table's queries are columns of the same rows."""
    return (max if panel["type"] == "table" else sum)([*answers.values(), 0])


def most_answered(panel: Mapping[str, Any], pages: Iterable[Page]) -> tuple[Mapping[str, int], int]:
    """The most series that each query of a panel gave on a page, and the most that the panel had to show at once."""
    found = {target["refId"]: 0 for target in panel.get("targets", ())}
    most = 0
    for page in pages:
        here = {answer.ref: len(answer.series) for answer in page.ask(panel)}
        most = max(most, shown(panel, here))
        found = {ref: max(series, here[ref]) for ref, series in found.items()}
    return found, most
