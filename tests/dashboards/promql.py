"""As much of PromQL as the checks need: selectors, labels of groupings and joins, functions around a selector."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SELECTOR: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')
_LABELS: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) \(([^)]*)\)")
_INTRODUCED: Final = re.compile(r'label_(?:join|replace)\(.*?, "(\w+)", ')
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_OWN_NAME: Final = re.compile(r"\bdhcp_failover_\w+")


@dataclass(frozen=True)
class Selector:
    """One selector: metric, (label, operator, value) of each matcher, and what stands right before and after it."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    before: str
    after: str

    @property
    def labels(self) -> set[str]:
        return {label for label, _, _ in self.matchers}


def selectors(query: str) -> Iterator[Selector]:
    for found in _SELECTOR.finditer(query):
        matchers = tuple(_MATCHER.findall(found[2]))
        yield Selector(
            found[1], matchers, query[: found.start()][-12:], query[found.end() : found.end() + 20]
        )


def unselected(query: str) -> set[str]:
    """Our metrics that stand without braces: no matcher could be seen."""
    return set(_OWN_NAME.findall(_SELECTOR.sub("", _STRINGS.sub('""', query))))


def grouped(query: str) -> set[str]:
    """Labels that are grouped or joined by."""
    return {label.strip() for found in _LABELS.findall(query) for label in found.split(",") if label.strip()}


def introduced(query: str) -> set[str]:
    """Labels that the query makes itself."""
    return set(_INTRODUCED.findall(query))
