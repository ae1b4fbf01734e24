"""What `check` says: a table for people, a document for machines, an anonymised one for us. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dhcp_failover_exporter.check import anonymity
from dhcp_failover_exporter.check.anonymity import FAILOVER_WORDS, LANGUAGE_MODES, SCOPE_STATES
from dhcp_failover_exporter.check.finders import characters_per_day, logon_failed, troubles
from dhcp_failover_exporter.check.measurement import Asked, Measurement, Step
from dhcp_failover_exporter.check.rules import SEVERITIES, Finding
from dhcp_failover_exporter.snapshot import Relationship, Scope, ScopeStatistics, SectionError, Server

Document = dict[str, Any]

REPORT_VERSION: Final = 1


def table(measurements: Sequence[Measurement], found: Sequence[Finding]) -> str:
    """For people: what was tried on each server, what is wrong with it, and what to do."""
    lines = [line for measurement in measurements for line in _server_lines(measurement, found)]
    return "\n".join([*lines, _summary(len(measurements), found)])


def _server_lines(own: Measurement, found: Sequence[Finding]) -> Iterator[str]:
    yield f"{own.server.name}  ({own.server.scheme}://{own.server.address}:{own.server.port}, {own.auth})"
    for step in own.steps:
        yield _line(_outcome(step), step.name, step.seconds, step.detail)
    for name, asked in () if logon_failed(own) else own.asked.items():
        yield _line(_word(asked), name, asked.seconds, _about(asked))
    if own.clock:
        yield _line(
            "", "clock", own.clock.seconds, f"ahead of here, +/- {own.clock.uncertainty_seconds:.2f} s"
        )
    yield ""
    for finding in found:
        if finding.server == own.server.name:
            yield f"  {finding.severity.upper()}  {finding.text}  [{finding.id}]"
            yield f"      {finding.remedy}"
            yield ""


def _line(word: str, name: str, seconds: float, detail: str) -> str:
    return f"  {word:<8} {name:<14} {seconds:6.2f} s  {detail}".rstrip()


def _outcome(step: Step) -> str:
    if step.name == "647":
        return "closed" if step.failure else "open"
    return "failed" if step.failure else "ok"


def _word(asked: Asked) -> str:
    if asked.section.failure:
        return "failed"
    return "partly" if asked.section.reason else "ok"


def _about(asked: Asked) -> str:
    if failure := asked.section.failure:
        return failure.id or failure.message
    sample = f" of the first {asked.scopes} scopes" if asked.scopes else ""
    missing = Counter(error.id or error.message for error in troubles(asked))
    without = "; without ".join(["", *(f"{count} x {it}" for it, count in missing.items())])
    return f"{_number(len(asked.section.records), 'record')}{sample}{without}"


def _summary(servers: int, found: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in found)
    said = ", ".join(_number(counts[severity], severity) for severity in SEVERITIES if counts[severity])
    return f"{_number(servers, 'server')}: {said or 'all fine'}"


def _number(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count != 1 and word != 'critical')}"


def document(measurements: Sequence[Measurement], found: Sequence[Finding]) -> Document:
    """For machines: the same, with every figure."""
    return {"servers": [_server_document(own, found) for own in measurements]}


def _server_document(own: Measurement, found: Sequence[Finding]) -> Document:
    return {
        "server": own.server.name,
        "address": own.server.address,
        "port": own.server.port,
        "auth": own.auth,
        "steps": [
            {
                "step": step.name,
                "seconds": round(step.seconds, 3),
                "failure": step.failure,
                "detail": step.detail,
            }
            for step in own.steps
        ],
        "sections": [
            {**_section_document(asked), "errors": [vars(error) for error in _errors(asked)]}
            for asked in own.asked.values()
        ],
        "clock": vars(own.clock) if own.clock else None,
        "memory_megabytes": own.memory_megabytes,
        "bytes_per_day": round(characters_per_day(own)),
        "findings": [
            {"id": it.id, "severity": it.severity, "text": it.text, "remedy": it.remedy}
            for it in found
            if it.server == own.server.name
        ],
    }


def _section_document(asked: Asked) -> Document:
    return {
        "section": asked.section.name,
        "reason": asked.section.reason,
        "seconds": round(asked.seconds, 3),
        "server_seconds": round(asked.section.elapsed_seconds, 3),
        "records": len(asked.section.records),
        "scopes_asked": asked.scopes,
        "bytes": asked.characters,
    }


def _errors(asked: Asked) -> list[SectionError]:
    failure = asked.section.failure
    return [*([failure] if failure else []), *asked.section.errors]


# --- the report -------------------------------------------------------------------------------------------


def report(measurements: Sequence[Measurement], version: str) -> Document:
    """What settles open points about Windows, and names nobody: no host, account, scope or message."""
    servers = [_anonymous(own, number) for number, own in enumerate(measurements, start=1)]
    return {"report": REPORT_VERSION, "exporter": version, "servers": servers}


def _anonymous(own: Measurement, number: int) -> Document:
    record = own.record("server", Server) or Server()
    return {
        "server": number,
        "os_version": anonymity.version(record.os_version),
        "ps_version": anonymity.version(record.ps_version),
        "language_mode": anonymity.word(record.language_mode, LANGUAGE_MODES),
        "service_status_readable": record.service_status is not None,
        "jea": own.is_jea,
        "scheme": own.server.scheme,
        "auth": own.auth,
        "memory_megabytes": own.memory_megabytes,
        "steps": [
            {
                "step": it.name,
                "seconds": round(it.seconds, 3),
                "failure": it.failure,
                "error": anonymity.error_id(it.error_id),
            }
            for it in own.steps
        ],
        "sections": [
            {**_section_document(asked), "errors": _counted(_errors(asked))} for asked in own.asked.values()
        ],
        "relationships": [_relationship(it) for it in own.records("relationships", Relationship)],
        "scope_states": _spelled(scope.state for scope in own.records("scopes", Scope)),
        "failover_fields_outside_failover": _outside(own),
    }


def _counted(errors: Sequence[SectionError]) -> list[Document]:
    counts = Counter((anonymity.error_id(error.id), anonymity.category(error.category)) for error in errors)
    return [{"error": id_, "category": category, "times": times} for (id_, category), times in counts.items()]


def _relationship(it: Relationship) -> Document:
    """Point c: whether both partners tell the same load-balance share."""
    return {
        "mode": anonymity.word(it.mode, FAILOVER_WORDS),
        "server_type": anonymity.word(it.server_type, FAILOVER_WORDS),
        "server_role": anonymity.word(it.server_role, FAILOVER_WORDS),
        "state": anonymity.word(it.state, FAILOVER_WORDS),
        "load_balance_percent": it.load_balance_percent,
        "reserve_percent": it.reserve_percent,
        "scopes": len(it.scope_id),
    }


def _spelled(states: Iterator[str | None]) -> Mapping[str, int]:
    """Point i: how a scope's state is spelled."""
    return dict(Counter(anonymity.word(state, SCOPE_STATES) or "null" for state in states))


def _outside(own: Measurement) -> Mapping[str, int]:
    """Point a: what stands in the four failover fields of a scope that is in no relationship."""
    found: Counter[str] = Counter()
    for it in own.records("statistics", ScopeStatistics):
        if it.scope_id not in own.topology.membership:
            value = it.addresses_free_on_this_server
            found["null" if value is None else "zero" if value == 0 else "figure"] += 1
    return dict(found)
