"""YAML to settings: strict, every mistake in one go, no secret in any message.

What the file says is decided here and nowhere else: keys, defaults, durations, which values go together.
This module reads the file and checks that the files it names exist; it opens no connection. Secrets are
never held: `Credential.secret` reads them each time, so that a changed password file counts at once.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from dhcp_failover_exporter.errors import AuthError, ConfigurationError, Mistake

DEFAULT_ENDPOINT = "Microsoft.PowerShell"
HTTP_PORT, HTTPS_PORT = 5985, 5986
_PORTS_TIMEOUT_SECONDS = 5.0

Section = Literal[
    "server",
    "relationships",
    "ports",
    "scopes",
    "statistics",
    "counters",
    "events",
    "settings",
    "firewall",
    "configuration",
]

_UNITS = {"y": 31_536_000.0, "w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Prometheus' own form: units from large to small, each at most once ("1h30m").
_DURATION = re.compile(r"(?=\d)" + "".join(rf"(?:(?P<{unit}>\d{{1,9}}){unit})?" for unit in _UNITS))

# These hold nothing that anybody could take for the place of a secret.
_PUBLIC_FILES = frozenset({"ca_file", "certificate_file"})

_QUOTED = re.compile(r"""(['"])(.*?)\1""")


def _duration(value: object, info: ValidationInfo) -> object:
    if isinstance(value, float) and info.context is None:
        return value  # built in code, where the name of the field says seconds
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = sum(int(n) * _UNITS[unit] for unit, n in match.groupdict().items() if n) if match else 0.0
    if seconds <= 0:
        raise PydanticCustomError(
            "duration", "write a duration above zero with its unit, as Prometheus does: 500ms, 15s, 1m, 1h30m"
        )
    return seconds


def _as_duration(seconds: float) -> str:
    """The inverse of `_duration`."""
    left, text = round(seconds * 1_000), ""
    for unit, size in _UNITS.items():
        count, left = divmod(left, round(size * 1_000))
        text += f"{count}{unit}" if count else ""
    return text


def _existing_file(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("path", "write a path as text")
    folder = (info.context or {}).get("folder", Path())
    path: Path = folder / value
    if not (os.access(path, os.R_OK) and path.is_file()):
        wanted = f"file {path}" if info.field_name in _PUBLIC_FILES else _harmless(value, folder)
        raise PydanticCustomError(
            "path", "no {wanted} that can be read: correct the path or create the file", {"wanted": wanted}
        )
    return path


def _harmless(value: str, folder: Path) -> str:
    """What a message may show of a path. A bare name may be the secret itself, put where its file belongs."""
    above = Path(value).parent
    is_path = above not in (Path(), Path("/")) and (above.is_absolute() or os.access(folder / above, os.F_OK))
    return f"file {folder / value}" if is_path else f"such file in {folder / above.root}"


def _set_variable(value: object) -> object:
    if isinstance(value, str) and value not in os.environ:
        raise PydanticCustomError(
            "environment", "this environment variable is not set: set it for the exporter's process"
        )
    return value


def _named_in_file(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Credential):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("credential", "write the name of an entry under credentials")
    known: Mapping[str, Credential | None] = (info.context or {}).get("credentials", {})
    if value not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise PydanticCustomError(
            "credential", "no such entry under credentials (there: {listed})", {"listed": listed}
        )
    # A credential with mistakes of its own is reported at its own place, once.
    return known[value] or Credential(name=value)


Seconds = Annotated[float, BeforeValidator(_duration), PlainSerializer(_as_duration)]
File = Annotated[Path, BeforeValidator(_existing_file)]
Name = Annotated[str, Field(pattern=r"^[^\s/|]+$")]


def _key_in_file(field: str) -> str:
    """`timeout_seconds` is `timeout: 10s` there, `sections_enabled` is `sections`."""
    return field.removesuffix("_seconds").removesuffix("_enabled")


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=_key_in_file,
        validate_by_name=True,
        validate_by_alias=True,
    )


_M = TypeVar("_M", bound=_Model)


class Credential(_Model):
    r"""One account. The secret itself stays in its file or variable until `secret` is asked for it.

    Attributes:
        name: the key under `credentials`, the only part of it that metrics and logs show.
        username: `DOMAIN\user` or `user@REALM`; None with a keytab or a certificate.
    """

    name: str
    username: str | None = None
    password_file: File | None = None
    password_env: Annotated[str, BeforeValidator(_set_variable)] | None = None
    keytab: File | None = None
    certificate_file: File | None = None
    certificate_key_file: File | None = None

    def secret(self) -> str | None:
        """The password as it is now, without the newline that editors add; None where there is none.

        Raises:
            AuthError: the file or the variable is gone.
        """
        try:
            if self.password_file:
                return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
            return os.environ[self.password_env] if self.password_env else None
        except (OSError, UnicodeDecodeError) as error:
            raise AuthError(
                f"credential {self.name}: {self.password_file} cannot be read as UTF-8 text"
            ) from error
        except KeyError as error:
            raise AuthError(
                f"credential {self.name}: environment variable {self.password_env} is gone"
            ) from error


class Intervals(_Model):
    """Seconds between two collections of each cadence."""

    state_seconds: Seconds = 15.0
    pools_seconds: Seconds = 60.0
    checks_seconds: Seconds = 900.0
    audit_seconds: Seconds = 3600.0


class Tls(_Model):
    """What the server's certificate is verified against; None means the system's authorities."""

    ca_file: File | None = None


class ServerSettings(_Model):
    """One server, defaults filled in.

    `name` is who it is (certificate, SPN, label), `address` only where to connect.
    """

    name: Name
    credential: Annotated[
        Credential, BeforeValidator(_named_in_file), PlainSerializer(lambda credential: credential.name)
    ]
    address: Name = Field(default_factory=lambda data: data.get("name", ""))
    scheme: Literal["https", "http"] = "https"
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default_factory=lambda data: HTTP_PORT if data.get("scheme") == "http" else HTTPS_PORT
    )
    auth: Literal["negotiate", "kerberos", "ntlm", "certificate", "basic"] = "negotiate"
    tls: Tls = Tls()
    configuration_name: Annotated[str, Field(pattern=r"^[^\s/]+$")] = DEFAULT_ENDPOINT
    timeout_seconds: Seconds = 10.0
    intervals: Intervals = Intervals()
    sections_enabled: Mapping[Section, bool] = {}
    scope_metrics: Literal["all", "failover", "none"] = "all"
    spn_service: str | None = None
    spn_host: str | None = None

    @property
    def sections(self) -> frozenset[str]:
        """The sections to ask for: all but those switched off."""
        return frozenset(name for name in get_args(Section) if self.sections_enabled.get(name, True))


class Polling(_Model):
    """Without polling a server is asked only while somebody probes it."""

    enabled: bool = True


class _Top(_Model):
    aliases: Mapping[str, str] = {}
    polling: Polling = Polling()


class Settings(_Model):
    """The whole file: servers with their defaults filled in, spellings of partners, and whether to poll."""

    servers: tuple[ServerSettings, ...]
    aliases: Mapping[str, str] = {}
    polling_enabled: bool = True

    def server(self, name: str) -> ServerSettings | None:
        """The server of that name, letter case ignored."""
        return next((server for server in self.servers if server.name.lower() == name.lower()), None)


def load(path: Path) -> Settings:
    """Read the file.

    Raises:
        ConfigurationError: with every mistake in the file, each with its path and what to do.
    """
    try:
        return parse(_read(path), path.parent.absolute())
    except ConfigurationError as refused:
        raise ConfigurationError(*refused.mistakes, file=path) from refused.__cause__


def parse(text: str, folder: Path) -> Settings:
    """Settings from YAML text; relative paths in it are relative to `folder`. Raises as `load` does."""
    raw, lines, mistakes = _mapping(text)
    reader = _Reader(folder, mistakes)
    settings = reader.settings(raw)
    if mistakes or settings is None:
        located = {replace(mistake, line=_line(mistake.path, lines)) for mistake in mistakes}
        raise ConfigurationError(*sorted(located, key=attrgetter("line", "path", "remedy")))
    return settings


def masked(settings: Settings) -> str:
    """A file that gives these settings: every default filled in, secrets named by where they come from."""
    written = partial(BaseModel.model_dump, mode="json", by_alias=True, exclude_none=True)
    credentials = {server.credential.name: server.credential for server in settings.servers}
    document = {
        "credentials": {name: written(it, exclude={"name"}) for name, it in credentials.items()},
        "servers": [written(server) for server in settings.servers],
        "aliases": dict(settings.aliases),
        "polling": {"enabled": settings.polling_enabled},
    }
    return yaml.safe_dump(document, sort_keys=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        remedy = f"cannot be read: {reason}; name another with --config.file=FILE"
        raise ConfigurationError(Mistake("file", remedy)) from error


def _mapping(text: str) -> tuple[dict[str, Any], Mapping[str, int], list[Mistake]]:
    """The file's content, the line of each path in it, and the keys written twice."""
    try:
        node, raw = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
        lines, mistakes = dict(_places(node, "")), list(_duplicates(node, ""))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else "file"
        raise ConfigurationError(Mistake(line, f"not YAML: {_without_quotations(error)}")) from None
    except yaml.YAMLError:
        raise ConfigurationError(Mistake("file", "not YAML: a character that YAML does not allow")) from None
    except ValueError:
        raise ConfigurationError(Mistake("file", "not YAML: a date or number that does not exist")) from None
    except RecursionError:
        raise ConfigurationError(Mistake("file", "not YAML: too deep, or an alias within itself")) from None
    if not isinstance(raw, dict):
        raise ConfigurationError(Mistake("file", "write a mapping with the keys credentials and servers"))
    return raw, lines, mistakes


def _without_quotations(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's complaint. A quoted alias or tag may be a secret; a single character or a <token> is none."""
    return _QUOTED.sub(
        lambda match: match[0] if len(match[2]) == 1 or match[2].startswith("<") else "...",
        error.problem or "it cannot be read",
    )


def _duplicates(node: yaml.Node | None, path: str) -> Iterator[Mistake]:
    """PyYAML lets the last of two equal keys win without a word; here each is a mistake."""
    first: dict[str, int] = {}
    for place, line, child in _children(node, path):
        if place in first:
            yield Mistake(place, f"key written twice (first in line {first[place]}): keep one")
        first.setdefault(place, line)
        yield from _duplicates(child, place)


def _places(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    """Every path in the file with its line."""
    for place, line, child in _children(node, path):
        yield place, line
        yield from _places(child, place)


def _children(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield f"{path}[{index}]", item.start_mark.line + 1, item
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield _join(path, str(key.value)), key.start_mark.line + 1, value


def _line(path: str, lines: Mapping[str, int]) -> int:
    """That of the path, or of what is nearest above it where something is missing."""
    nearest = max((known for known in lines if path.startswith(known)), key=len, default="")
    return lines.get(nearest, 0)


_PARTS: dict[str, type] = {"credentials": dict, "defaults": dict, "servers": list}


class _Reader:
    """Validates the file piece by piece, so that one wrong piece does not hide the mistakes of the others."""

    def __init__(self, folder: Path, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self.context: dict[str, Any] = {"folder": folder, "credentials": {}}
        self.wrong_defaults: set[str] = set()

    def settings(self, raw: dict[str, Any]) -> Settings | None:
        parts = {key: raw.pop(key, kind()) for key, kind in _PARTS.items()}
        top = self.model(_Top, raw, "")
        for name, fields in self.items(parts["credentials"], dict, "credentials"):
            self.context["credentials"][name] = self.credential(name, fields)
        defaults = self.defaults(parts["defaults"])
        servers = [
            self.server(place, fields, defaults)
            for place, fields in self.items(parts["servers"], list, "servers")
        ]
        if not servers:
            self.mistake("servers", "name at least one server, as in: - {name: dhcp01.lab.local}")
        self.twins(parts["servers"])
        if top is None or self.mistakes:
            return None
        return Settings(
            servers=tuple(filter(None, servers)), aliases=top.aliases, polling_enabled=top.polling.enabled
        )

    def credential(self, name: str, fields: object) -> Credential | None:
        place = f"credentials.{name}"
        if not isinstance(fields, dict):
            self.mistake(place, "write a mapping, as in {username: ..., password_file: ...}")
            return None
        sources = [
            key for key in ("password_file", "password_env", "keytab", "certificate_file") if key in fields
        ]
        if len(sources) > 1:
            self.mistake(place, f"{' and '.join(sources)} exclude each other: keep one")
        if ("certificate_file" in fields) != ("certificate_key_file" in fields):
            self.mistake(place, "certificate_file and certificate_key_file belong together: give both")
        return self.model(Credential, {"name": name, **fields}, place)

    def defaults(self, fields: object) -> dict[str, Any]:
        """Defaults that are right; each wrong one is reported here once, not once per server."""
        if not isinstance(fields, dict):
            self.mistake("defaults", "write a mapping")
            return {}
        places = len(self.mistakes)
        self.model(ServerSettings, {**fields, "name": "defaults"}, "defaults", required=False)
        self.wrong_defaults = wrong = {
            re.split(r"[.\[\]]", mistake.path)[1] for mistake in self.mistakes[places:]
        }
        if "name" in fields:
            self.mistake("defaults.name", "a name belongs to one server: move it under servers")
        return {key: value for key, value in fields.items() if str(key) not in wrong | {"name"}}

    def server(self, place: str, fields: object, defaults: dict[str, Any]) -> ServerSettings | None:
        if not isinstance(fields, dict):
            self.mistake(place, "write a mapping, as in {name: dhcp01.lab.local}")
            return None
        merged = _merged(defaults, fields)
        named = merged.get("credential")
        credential = self.context["credentials"].get(named) if isinstance(named, str) else None
        server = self.model(ServerSettings, merged, place)
        for key, remedy in (*_unfit_logon(merged, credential), *_short_timeout(server)):
            # What a server only takes over is one mistake of the defaults, not one of each server.
            self.mistake(f"{'defaults' if key in defaults and key not in fields else place}.{key}", remedy)
        return server

    def twins(self, servers: object) -> None:
        first: dict[str, str] = {}
        for place, fields in self.items(servers, list, "servers"):
            name = fields.get("name") if isinstance(fields, dict) else None
            earlier = first.setdefault(name.lower(), place) if isinstance(name, str) else place
            if earlier != place:
                self.mistake(
                    f"{place}.name", f"the name of {earlier} again (letter case does not count): keep one"
                )

    def items(self, part: object, kind: type, path: str) -> Iterator[tuple[str, Any]]:
        if not isinstance(part, kind):
            self.mistake(path, "write a list" if kind is list else "write a mapping")
        elif isinstance(part, dict):
            yield from ((str(name), fields) for name, fields in part.items())
        elif isinstance(part, list):
            yield from ((f"{path}[{index}]", fields) for index, fields in enumerate(part))

    def model(
        self, kind: type[_M], fields: dict[str, Any], place: str, *, required: bool = True
    ) -> _M | None:
        try:
            return kind.model_validate(fields, context=self.context, by_alias=True, by_name=False)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False, include_input=False):
                missing = error["type"] == "missing"
                # A wrong default was reported where it stands; that a server lacks it follows.
                excused = missing and (not required or str(error["loc"][-1]) in self.wrong_defaults)
                if error["type"] not in _CONSEQUENCES and not excused:
                    self.mistakes.append(_mistake(kind, error, place))
            return None

    def mistake(self, path: str, remedy: str) -> None:
        self.mistakes.append(Mistake(path, remedy))


def _unfit_logon(merged: dict[str, Any], credential: Credential | None) -> Iterator[tuple[str, str]]:
    """Keys, and what to do, where the way to log on does not go with the connection or the credential."""
    auth = merged.get("auth", "negotiate")
    if auth in ("basic", "certificate") and merged.get("scheme") == "http":
        yield "auth", f"{auth} needs scheme: https, or the secret would cross the network in clear"
    if credential is None:
        return
    if auth == "certificate" and not credential.certificate_file:
        yield "auth", "certificate needs certificate_file and certificate_key_file in its credential"
    if auth != "certificate" and credential.certificate_file:
        yield (
            "auth",
            f"{auth} has no use for a certificate: set auth: certificate, or name another credential",
        )
    password = credential.password_file or credential.password_env
    if auth in ("basic", "ntlm") and not (credential.username and password):
        yield "auth", f"{auth} needs username and password_file or password_env in its credential"


def _short_timeout(server: ServerSettings | None) -> Iterator[tuple[str, str]]:
    """The collector waits 4 s for silent partners, so a shorter call could never tell of one."""
    if server and "ports" in server.sections and server.timeout_seconds < _PORTS_TIMEOUT_SECONDS:
        yield "timeout", "at least 5s while sections.ports is on: the server waits 4 s for a silent partner"


def _merged(defaults: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """A server's own keys over the defaults; of intervals, sections and tls, key by key."""
    both = {
        key: {**defaults[key], **value}
        for key, value in fields.items()
        if isinstance(value, dict) and isinstance(defaults.get(key), dict)
    }
    return {**defaults, **fields, **both}


def _mistake(kind: type[_Model], error: ErrorDetails, place: str) -> Mistake:
    path = place
    for step in (step for step in error["loc"] if step != "[key]"):
        path = f"{path}[{step}]" if isinstance(step, int) else _join(path, step)
    return Mistake(path, _remedy(kind, error))


# A value computed from another one fails with it; only the other one is the mistake.
_CONSEQUENCES = frozenset({"default_factory_not_called"})
_TYPES = {
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
}


def _remedy(kind: type[_Model], error: ErrorDetails) -> str:
    match error["type"]:
        case type_ if type_ in _TYPES:
            return f"write {_TYPES[type_]}"
        case "missing":
            named = error["loc"][-1] == "name"
            return "missing: name the server" if named else "missing: give it here or under defaults"
        case "extra_forbidden":
            return _unknown_key(kind, error)
        case "literal_error":
            return f"write one of {error['ctx']['expected']}"
        case "string_pattern_mismatch":
            return "write a name without spaces or slashes"
    return (
        error["msg"].removeprefix("Input ").removeprefix("should be a valid ").replace("should be", "must be")
    )


def _unknown_key(kind: type[_Model], error: ErrorDetails) -> str:
    key = str(error["loc"][-1])
    if key in ("password", "secret"):
        return "secrets do not go into this file: use password_file or password_env"
    known = _keys(kind, error["loc"][:-1])
    close = get_close_matches(key, known, 1)
    return (
        f"unknown key, did you mean {close[0]}?" if close else f"unknown key, known here: {', '.join(known)}"
    )


def _keys(kind: type[_Model], steps: tuple[int | str, ...]) -> list[str]:
    """The keys that the file may have at that place."""
    fields = {
        str(field.validation_alias or name): field.annotation for name, field in kind.model_fields.items()
    }
    if steps:
        inner = fields.get(str(steps[0]))
        return _keys(inner, steps[1:]) if isinstance(inner, type) and issubclass(inner, _Model) else []
    if kind is _Top:
        return sorted([*fields, *_PARTS])
    return sorted(set(fields) - ({"name"} if kind is Credential else set()))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
