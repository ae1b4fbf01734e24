"""What `diff` says: text for people, a document for machines. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dhcp_failover_exporter.diff.comparison import Change, Comparison, replications
from dhcp_failover_exporter.drift import Difference

_ONE_OF: Final = {
    "properties": "scope",
    "options": "option",
    "reservations": "reservation",
    "exclusions": "exclusion",
    "policies": "policy",
}


def text(comparison: Comparison) -> str:
    """For people: what differs, scope by scope, and what replication in each direction would do."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    first, second = comparison.sides
    yield (
        f"{comparison.relationship}: {first.server} ({first.link.server_type or 'side'}) and "
        f"{second.server} ({second.link.server_type or 'side'}), {comparison.compared} scopes compared"
    )
    if not first.members | second.members:
        yield "The relationship has no scopes on either server: it protects nothing."
    for gap in comparison.not_compared:
        yield f"NOT COMPARED  {gap}"
    for scope in comparison.scopes:
        yield ""
        yield f"{scope.scope}  {scope.name}".rstrip()
        if scope.missing_on:
            yield f"  the whole scope is missing in the relationship on {scope.missing_on}"
        yield from _item_lines(scope.items, first.server, second.server)
    if comparison.server_options:
        yield ""
        yield "server options (no replication carries them)"
        yield from _item_lines(comparison.server_options, first.server, second.server)
    yield from _replication_lines(comparison)


def _item_lines(items: Sequence[Difference], first: str, second: str) -> Iterator[str]:
    width = max(len(first), len(second))
    for it in items:
        name = f"  {_ONE_OF[it.part]} {it.item}".rstrip()
        if it.field is None:
            has, value = (second, it.theirs) if it.ours is None else (first, it.ours)
            yield f"{name}: only on {has}  {_said(value)}".rstrip()
        else:
            yield f"{name}: {it.field}"
            yield f"    {first:<{width}}  {_said(it.ours)}"
            yield f"    {second:<{width}}  {_said(it.theirs)}"


def _said(value: Any) -> str:
    """A value as a person reads it; what is not set is a dash."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_said, value))
    return "-" if value is None else str(value)


def _replication_lines(comparison: Comparison) -> Iterator[str]:
    for it in replications(comparison):
        yield ""
        yield f"Replication started on {it.start_on} would make {it.overwrites} the same:"
        yield f"  {it.command}"
        yield from (f"  {change.verb:<9}  {_what(change)}" for change in it.changes)
    if any(it.part == "exclusions" for scope in comparison.scopes for it in scope.items):
        yield ""
        yield "That replication carries exclusions is very likely, but Microsoft does not say so."
    if any(scope.missing_on for scope in comparison.scopes):
        yield ""
        yield "Replication does not bring scopes that one side lacks: see Add-DhcpServerv4FailoverScope."
    if comparison.exit_code == 0:
        yield "no difference"


def _what(change: Change) -> str:
    it = change.difference
    label = " ".join(filter(None, (change.scope, _ONE_OF[it.part], it.item, it.field)))
    return label if change.lost is None else f"{label}: {_said(change.lost)} is lost"


def document(comparison: Comparison) -> dict[str, Any]:
    """For machines: values by server name."""
    names = [side.server for side in comparison.sides]
    return {
        "relationship": comparison.relationship,
        "servers": names,
        "scopes_compared": comparison.compared,
        "not_compared": list(comparison.not_compared),
        "scopes": [
            {
                "scope": scope.scope,
                "name": scope.name,
                "missing_on": scope.missing_on,
                "differences": [_item_document(it, names) for it in scope.items],
            }
            for scope in comparison.scopes
        ],
        "server_options": [_item_document(it, names) for it in comparison.server_options],
        "replications": [
            {
                "start_on": it.start_on,
                "overwrites": it.overwrites,
                "command": it.command,
                "changes": [
                    {
                        "verb": change.verb,
                        "scope": change.scope,
                        **_key(change.difference),
                        "lost": change.lost,
                    }
                    for change in it.changes
                ],
            }
            for it in replications(comparison)
        ],
    }


def _item_document(it: Difference, names: Sequence[str]) -> dict[str, Any]:
    return {**_key(it), "values": dict(zip(names, (it.ours, it.theirs), strict=True))}


def _key(it: Difference) -> dict[str, Any]:
    return {"part": it.part, "item": it.item, "field": it.field}
