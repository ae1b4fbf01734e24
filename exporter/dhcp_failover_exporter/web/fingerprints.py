"""Whether two servers' published fingerprints agree. Pure: text of the exposition in, labels out.

They are read where Prometheus reads them, so that the page compares exactly what the alert rules compare.
"""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
# `server` is the first label of every series about a server, and never the only one of a fingerprint.
_SERVER: Final = re.compile(r'\{server="(?:[^"\\]|\\.)*",')


def differing(left: str, right: str) -> Sequence[Labels]:
    """The labels, `server` left out, of the series that both sides have with different values.

    Series of one side alone say nothing: the other scheme, another relationship, or not collected yet.
    """
    ours, theirs = _lines_of_any_server(left), _lines_of_any_server(right)
    values = _values(theirs - ours)
    return [dict(labels) for labels in _values(ours - theirs) if labels in values]


def _lines_of_any_server(text: str) -> AbstractSet[str]:
    """Most are equal to the partner's then, and need not be parsed."""
    own = _SERVER.search(text)
    return set(text.replace(own[0], "{").split("\n")) if own else set()


def _values(lines: AbstractSet[str]) -> Mapping[frozenset[tuple[str, str]], float]:
    text = "".join(f"{line}\n" for line in sorted(lines))
    return {
        frozenset(sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
