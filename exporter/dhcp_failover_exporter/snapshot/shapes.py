"""One JSON value to one Python value, or a `ShapeError` that knows where it was.

What lives here: what counts as text, as a number, as a time; and the annotations by which a record says how
its fields are read. What this file does not know: which records there are.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

# Windows' own "unlimited" in seconds: -1, its unsigned form, or TimeSpan.MaxValue; nobody means 136 years.
UNLIMITED_SECONDS: Final = 0xFFFFFFFF

_LARGEST_NUMBER: Final = 2**64
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

T = TypeVar("T")
Reader = Callable[[object], T]


class ShapeError(ValueError):
    """A value has the wrong shape; the path grows while the exception climbs out of the document."""

    def __init__(self, expected: str, value: object, path: str = "") -> None:
        super().__init__(f"expected {expected}, got {shortened(value)}")
        self.expected, self.value, self.path = expected, value, path

    def under(self, step: str) -> "ShapeError":
        """The same, seen from one level further out."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        return ShapeError(self.expected, self.value, f"{step}{joint}{self.path}")

    def __str__(self) -> str:
        return f"{self.path}: {self.args[0]}"


def shortened(value: object, length: int = 60) -> str:
    """A value as a message may show it."""
    text = ascii(value)
    return text if len(text) <= length else f"{text[:length]}..."


def clean(text: str) -> str:
    """No lone surrogates: Windows names may hold them, UTF-8 cannot."""
    return text if text.isascii() else _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def read_text(value: object) -> str:
    """Any text, even an empty one."""
    if not isinstance(value, str):
        raise ShapeError("text", value)
    return clean(value)


def read_flag(value: object) -> bool:
    """True or false; 0 and 1 are numbers."""
    if not isinstance(value, bool):
        raise ShapeError("true or false", value)
    return value


def read_number(value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_NUMBER:
        raise ShapeError("a number", value)
    return value


def read_count(value: object) -> int | None:
    """A whole number; a negative one is Windows' way to say "not known"."""
    number = read_number(value)
    if number != int(number):
        raise ShapeError("a whole number", value)
    return int(number) if number >= 0 else None


def read_ordinal(value: object) -> int:
    """A whole number from 1."""
    number = read_count(value)
    if not number:
        raise ShapeError("a whole number from 1", value)
    return number


def read_duration(value: object) -> float | None:
    """Seconds; None where unlimited."""
    seconds = read_number(value)
    return seconds if 0 <= seconds < UNLIMITED_SECONDS else None


def read_time(value: object) -> float:
    """Epoch seconds of an ISO 8601 time, which the contract gives in UTC."""
    try:
        moment = datetime.fromisoformat(read_text(value))
    except ValueError:
        raise ShapeError("a time in ISO 8601", value) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def read_address(value: object) -> str:
    """An IPv4 address: what a list became on its way (`System.Object[]`) is none."""
    try:
        return str(ipaddress.IPv4Address(read_text(value)))
    except ValueError:
        raise ShapeError("an IPv4 address", value) from None


def read_word(value: object) -> str:
    """One insert of an event, one port of a rule: whatever it is, as text."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        raise ShapeError("text", value)
    return clean(str(value))


def read_object(value: object) -> Mapping[str, object]:
    """An object, taken as it is."""
    if not isinstance(value, dict):
        raise ShapeError("an object", value)
    return {clean(key): _cleaned(item) for key, item in value.items()}


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return read_object(value) if isinstance(value, dict) else value


def listed(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """A reader of lists; PowerShell unrolls a list of one, so a single value is one too. Null is no list."""

    def read(value: object) -> tuple[T, ...]:
        if value is None:
            raise ShapeError("a list", value)
        items = enumerate(value if isinstance(value, list) else [value])
        return tuple(stepped(reader, item, f"[{position}]") for position, item in items)

    return read


def nullable(reader: Reader[T]) -> Reader[T | None]:
    """A reader that takes null and the empty text, PowerShell's spelling of null, for "not set"."""

    def read(value: object) -> T | None:
        return None if value is None or value == "" else reader(value)

    return read


def stepped(reader: Reader[T], value: object, step: str) -> T:
    """Read a value one level down; an error says so."""
    try:
        return reader(value)
    except ShapeError as refused:
        raise refused.under(step) from None


Text = Annotated[str, read_text]
Flag = Annotated[bool, read_flag]
Number = Annotated[float, read_number]
Count = Annotated[int | None, read_count]
Ordinal = Annotated[int, read_ordinal]
Duration = Annotated[float | None, read_duration]
Time = Annotated[float, read_time]
Address = Annotated[str, read_address]
Addresses = Annotated[tuple[str, ...], listed(read_address)]
Words = Annotated[tuple[str, ...], listed(read_word)]
Object = Annotated[Mapping[str, object], read_object]
Objects = Annotated[tuple[Mapping[str, object], ...], listed(read_object)]
