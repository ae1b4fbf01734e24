"""Views in words."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhcp_failover_exporter.web import words


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3_660, "1 h 1 min"),
        (3_601, "1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations_show_their_two_largest_units(seconds: float, expected: str) -> None:
    assert words.duration(seconds) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0, "0 %"), (0.0001, "1 %"), (0.5, "50 %"), (0.999, "99 %"), (1, "100 %")],
)
def test_percents_never_round_to_all_or_nothing(ratio: float, expected: str) -> None:
    assert words.percent(ratio) == expected


def test_times_are_iso_8601_in_utc() -> None:
    assert words.iso(0) == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "s", "not set"),
        (True, "", "on"),
        (3600.0, "s", "1 h"),
        (50, "%", "50 %"),
        ("HotStandby", "", "hot standby"),
    ],
)
def test_settings_in_words(value: float | bool | str | None, unit: str, expected: str) -> None:
    assert words.setting(value, unit) == expected


def test_counted() -> None:
    assert (words.counted(1, "scope"), words.counted(1200, "scope")) == ("1 scope", "1\u202f200 scopes")


@given(st.text())
def test_no_name_can_turn_or_hide_its_neighbours(name: str) -> None:
    assert not {unicodedata.category(character) for character in words.visible(name)} & {"Cc", "Cf"}


def test_right_to_left_override_is_spelt_out() -> None:
    assert words.visible("a\u202eb") == "a[U+202E]b"


@given(st.text(), st.text())
def test_anchors_are_plain_and_tell_texts_apart(one: str, other: str) -> None:
    assert words.anchor(one).isalnum()
    assert words.anchor(one).isascii()
    assert (words.anchor(one) == words.anchor(other)) == (one == other)
