"""The PromQL that more than one dashboard asks.

What lives here: how the exporter's series become one value per server, relationship or pair.
What this file does not know: panels.

Rule 1: each selector takes the job and the servers chosen above. A recording rule's series has no job: a
        join with `links` leaves what the chosen job watches.
Rule 2: aggregate first, join then: two exporters that watch one server, or a changed instance, must not end
        a query in "many-to-many". So every vector is `by` stable labels, and `max` is over replicas only.
Rule 3: only `relationship_info` knows the pair. It is as fresh as the state: what a join loses was not fresh.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .grafana import STATES, UNKNOWN_STATE

JOB: Final = 'job=~"$job"'
SERVER: Final = 'server=~"$server"'
RELATIONSHIP: Final = 'relationship=~"$relationship"'
INSTANCE: Final = 'instance=~"$instance"'

# What a relationship was an hour ago still says that it should be watched.
KNOWN: Final = "1h"
# A clock offset is left out now and then: the first call of a session, a slow answer.
CLOCK: Final = "5m"

# Long enough to see a trend in a scope that leases a few addresses an hour.
PACE: Final = "1h"


def series(family: str, *matchers: str) -> str:
    """The selector of one of the exporter's families about a server."""
    return f"dhcp_failover_{family}{{{','.join((JOB, SERVER, *matchers))}}}"


def own(family: str, *matchers: str) -> str:
    """The selector of a family that has no server: the exporter's own, or Prometheus' about its scrapes."""
    return f"{family}{{{','.join((JOB, INSTANCE, *matchers))}}}"


def per_server(expr: str, *labels: str) -> str:
    """One value per server (and labels), whichever exporter gives it."""
    return f"max by ({', '.join(('server', *labels))}) ({expr})"


def of_relationship(family: str, *matchers: str) -> str:
    """The selector of a family about a relationship, or about a scope in one."""
    return series(family, RELATIONSHIP, *matchers)


def recorded(record: str, *matchers: str) -> str:
    """The selector of a record of alerts/dhcp-failover.rules.yml about a relationship."""
    return f"dhcp_failover:{record}{{{','.join((RELATIONSHIP, *matchers))}}}"


def equal(label: str, value: str) -> str:
    """One matcher of a selector."""
    return f'{label}="{value}"'


def rate(selector: str) -> str:
    """A counter per second."""
    return f"rate({selector}[$__rate_interval])"


def increase(selector: str) -> str:
    """A counter per step."""
    return f"increase({selector}[$__rate_interval])"


PRIMARY: Final = equal("server_type", "primary")
SECONDARY: Final = equal("server_type", "secondary")


# A worker that hangs leaves its last section_success behind: `up` knows.
_RELATIONSHIPS: Final = per_server(series("section_success", equal("section", "relationships")))
ANSWERED: Final = f"({_RELATIONSHIPS} == 1 and on (server) {per_server(series('up'))} == 1)"


def state_codes(of_state: Callable[[str], str]) -> str:
    """FSM_STATE's number of each state, times what a matcher selects; an unknown state has its own."""
    numbers = [(code, equal("state", state)) for state, (code, _) in STATES.items()]
    others = (UNKNOWN_STATE, f'state!~"{"|".join(STATES)}"')
    return " or ".join(f"{code} * {of_state(matcher)}" for code, matcher in (*numbers, others))


@dataclass(frozen=True)
class Pairs:
    """The pairs chosen above, by their matcher: `pair=~"$pair"` of several, `pair="$pair"` of one."""

    matcher: str

    def info(self, *matchers: str) -> str:
        """The selector of `relationship_info`."""
        return of_relationship("relationship_info", self.matcher, *matchers)

    def links(self, *matchers: str, labels: tuple[str, ...] = ()) -> str:
        """1 for each (server, relationship, pair) of which there is fresh news."""
        return per_server(self.info(*matchers), "relationship", "pair", *labels)

    def known(self) -> str:
        """The same, of which there was news in the last hour."""
        return per_server(f"last_over_time({self.info()}[{KNOWN}])", "relationship", "pair")

    def silent(self) -> str:
        """Those of which a server gives no news, because it does not answer."""
        return (
            f"({self.known()} unless on (server, relationship) {self.links()}) unless on (server) {ANSWERED}"
        )

    def gone(self) -> str:
        """Those that a server no longer has: it answers without them."""
        return f"({self.known()} unless on (server, relationship) {self.links()}) and on (server) {ANSWERED}"

    def joined(self, expr: str, *labels: str, where: tuple[str, ...] = ()) -> str:
        """Values of a family with `server` and `relationship`, with the pair; `where` matches the info."""
        return self.with_pair(per_server(expr, "relationship", *labels), *where)

    def with_pair(self, vector: str, *where: str) -> str:
        """A vector that is aggregated already, with the pair."""
        return f"{vector} * on (server, relationship) group_left (pair) {self.links(*where)}"

    def watched(self, vector: str, *where: str) -> str:
        """Of a vector with the pair those that the chosen job watches; `where` matches the info."""
        return f"{vector} and on (server, pair, relationship) {self.links(*where)}"

    def servers(self, expr: str, *labels: str) -> str:
        """Values of a family about a server, of the servers of these pairs only."""
        return f"{per_server(expr, *labels)} and on (server) {self.links()}"

    # --- states

    def state_code(self, *where: str) -> str:
        """FSM_STATE's number by (server, relationship, pair); an unknown state has its own."""
        codes = state_codes(lambda matcher: f"({of_relationship('state', matcher)} == 1)")
        return self.joined(codes, where=where)

    def in_state(self, matcher: str) -> str:
        """1 for each (server, relationship, pair) whose state matches."""
        return self.joined(f"{of_relationship('state', matcher)} == 1")

    def seconds_in_state(self) -> str:
        """By (server, relationship, pair); absent until a change was seen or logged."""
        return self.joined(f"time() - {of_relationship('state_last_change_timestamp_seconds')}")

    # --- port 647

    def ports(self, condition: str = "") -> str:
        """Whether the primary reaches the secondary, by (server, partner, relationship, pair).

        Only that direction carries failover. `partner_reachable` is about servers: each relationship between
        them gets the same answer.
        """
        dialled = self.links(PRIMARY, labels=("partner",))
        reachable = per_server(series("partner_reachable", PRIMARY), "partner")
        return f"{dialled} * on (server, partner) group_left () ({reachable}{condition})"

    def between(self, family: str) -> str:
        """A family of `partner_reachable`'s labels, both directions, between these partners only."""
        values = per_server(series(family), "partner", "server_type")
        return f"{values} and on (server, partner) {self.info()}"

    # --- pools

    def own_free(self, *labels: str) -> str:
        """Addresses that a server may lease by itself, in active scopes."""
        active = per_server(series("scope_active"), "scope")
        free = of_relationship("scope_addresses_free_on_this_server")
        return f"{per_server(free, 'relationship', 'scope', *labels)} and on (server, scope) {active} == 1"

    def own_free_lasts(self) -> str:
        """Seconds until a server's own addresses of a scope are gone, at the pace of the last hour.

        By (server, relationship, scope); absent where the scope is not filling up.
        """
        pace = per_server(
            f"deriv({of_relationship('scope_addresses_in_use')}[{PACE}])", "relationship", "scope"
        )
        return f"({self.own_free()}) / ({pace} > 0)"

    def dry(self) -> str:
        """Scopes in which a server has no address of its own left, by (server, relationship, pair)."""
        return self.with_pair(f"count by (server, relationship) (({self.own_free()}) == 0)")

    # --- clocks

    def clocks(self, at: str = "") -> str:
        """Server minus exporter, by (server, pair); `at` fixes the moment: `@ end()`."""
        offset = per_server(f"last_over_time({series('clock_offset_seconds')}[{CLOCK}]{at})")
        servers = f"max by (server, pair) ({self.info()}{at})"
        return f"{servers} * on (server) group_left () {offset}"

    def clock_difference(self, at: str = "") -> str:
        """Between the partners, by pair: twice the deviation of two values; one clock alone deviates by 0."""
        return f"2 * stddev by (pair) ({self.clocks(at)}) > 0"

    # --- drift

    def drift(self) -> str:
        """Parts of scopes that differ: equal fingerprints deviate by 0, however many exporters show them."""
        fingerprints = self.with_pair(of_relationship("scope_config_fingerprint"))
        return f"stddev by (pair, relationship, scope, part, scheme) ({fingerprints}) > 0"


def alerts(matcher: str, *labels: str) -> str:
    """Firing alerts of our rules; `ALERTS` is a rule's series and has neither job nor instance."""
    firing = f'ALERTS{{alertname=~"DhcpFailover.+",alertstate="firing",{matcher}}}'
    return f"count by ({', '.join(labels)}) ({firing})"
