"""Accept headers as real scrapers send them, and the forms that they get."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.web.negotiation import OPENMETRICS, TEXT, accepts_gzip, choose_format

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_TEXT_FIRST = (
    "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.1"
)
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
OPENMETRICS_0_0_1 = "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        (PROMETHEUS_2_42, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        (PROMETHEUS_3_TEXT_FIRST, TEXT),
        (CHROMIUM, TEXT),
        (OPENMETRICS_0_0_1, TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=nonsense", TEXT),
        ("application/*;q=0.9, text/*;q=0.1", OPENMETRICS),
        ("application/*;q=0.1, text/*;q=0.9", TEXT),
        # The more specific range decides, though the wider one weighs more.
        ("application/openmetrics-text;q=0.2, application/*;q=1, text/plain;q=0.5", TEXT),
        ("application/json", TEXT),
        (";;,,=,", TEXT),
    ],
)
def test_format_follows_the_weights(accept: Any, expected: Any) -> None:
    assert choose_format(accept) is expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("deflate, gzip;q=0.5, br", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("GZIP", True),
        ("gzipped", False),
    ],
)
def test_gzip_only_where_it_is_accepted(accept_encoding: Any, expected: Any) -> None:
    assert accepts_gzip(accept_encoding) is expected


@given(st.text())
def test_no_header_text_is_an_error(header: Any) -> None:
    assert choose_format(header) in (TEXT, OPENMETRICS)
    assert accepts_gzip(header) in (True, False)


def test_content_types_are_the_ones_prometheus_3_knows() -> None:
    assert TEXT.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert OPENMETRICS.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
