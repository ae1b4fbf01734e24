"""The debug view of a probe: what was asked, what came, what is shown for it. Plain text, for people.

Secrets cannot appear: settings hold none, and what a server said is shown as it was read.
"""

from collections.abc import Collection, Iterator

from dhcp_failover_exporter import config
from dhcp_failover_exporter.config import ServerSettings, Settings
from dhcp_failover_exporter.engine import Entry
from dhcp_failover_exporter.exposition import join
from dhcp_failover_exporter.metrics import Group


def text(entry: Entry, settings: ServerSettings, now: float, groups: Collection[Group] | None = None) -> str:
    """Three parts, as blackbox_exporter has them: the probe, the metrics it gives, the configuration.

    `now` is by the forward clock, as in `exposition.join`.
    """
    return "\n".join(
        (
            f"Probe of {settings.name}",
            *_probe(entry, now),
            "",
            "Metrics that this probe gives:",
            join([entry.publication], now, groups=groups).decode(),
            "Configuration of this server, masked:",
            config.masked(Settings(servers=(settings,))),
        )
    )


def _probe(entry: Entry, now: float) -> Iterator[str]:
    health = entry.publication.health
    if health.up(now):
        yield f"up: answered over {health.auth}"
    else:
        yield f"not up: {health.failure or 'not answered yet'}: {entry.message or 'no message'}"
    yield f"state polls so far: {health.polls}, failures: {dict(health.failures) or 'none'}"
    for name, section in health.sections.items():
        yield f"section {name}: {_told(entry, name, section.reason, section.collected)}"


def _told(entry: Entry, name: str, reason: str | None, collected: bool) -> str:
    if not collected:
        return "not collected yet"
    if reason:
        return f"incomplete or failed, reason {reason}"
    answer = entry.sections[name].section
    return f"{len(answer.records)} records, {answer.elapsed_seconds:.3f} s on the server"
