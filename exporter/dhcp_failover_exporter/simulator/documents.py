"""Text of the collector's documents: a JSON writer and typed values, as the script has them.

The script writes its JSON itself, so that every PowerShell gives the same bytes; this gives them too.
"""

import json
import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

_UNLIMITED: Final = 4_294_967_295


def json_string(text: str) -> str:
    """ConvertTo-JsonString: what is not plain ASCII becomes an escape per UTF-16 unit."""
    escaped = re.sub(r"[^ !#-\[\]-~]", lambda match: _units(match.group()), text)
    return f'"{escaped}"'


def _units(character: str) -> str:
    raw = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[n] << 8 | raw[n + 1]:04x}" for n in range(0, len(raw), 2))


def json_number(number: float) -> str:
    """ConvertTo-JsonNumber: at most six decimals, no exponent, null for NaN."""
    decimal = Decimal(repr(number))
    if not decimal.is_finite():
        return "null"
    text = f"{decimal.quantize(Decimal('0.000001'), ROUND_HALF_UP):f}".rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text


def json_text(value: object) -> str:
    """ConvertTo-JsonText."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json_string(value)
    if isinstance(value, dict):
        return "{" + ",".join(f'"{name}":{json_text(item)}' for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    if isinstance(value, int):
        return str(value)
    return json_number(float(str(value)))


def text_or_none(value: object) -> str | None:
    """ConvertTo-Text: not set and empty are the same."""
    return None if value in {None, ""} else str(value)


def text_list(value: object) -> list[str]:
    """ConvertTo-TextList: a list, whatever came, without empty members."""
    return [text for text in texts(value) if text]


def seconds_or_none(duration: object) -> float | None:
    """ConvertTo-Second, of a TimeSpan."""
    return duration.total_seconds() if isinstance(duration, timedelta) else None


def lease_seconds(duration: object) -> float | None:
    """ConvertTo-LeaseSecond: None where the lease is unlimited."""
    seconds = seconds_or_none(duration)
    return None if seconds is None or seconds < 0 or seconds >= _UNLIMITED else seconds


def utc_text(time: object) -> str | None:
    """ConvertTo-UtcText: ISO 8601 with seven decimals, as .NET's format o."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}0Z" if isinstance(time, datetime) else None


def texts(value: object) -> list[str]:
    """The members of a list, or the one value, as text."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
