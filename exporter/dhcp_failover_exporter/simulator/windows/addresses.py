"""The addresses of one scope: which are leased, which are free, and to whom the free ones belong.

Every server has its own view. What it leases, renews or frees it tells its partner by a binding update; while
those do not pass, the views differ, and each stays consistent in itself: free + in use + offered = all.
Clients are a seeded population that comes, renews and goes.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from dhcp_failover_exporter.simulator.windows import events
from dhcp_failover_exporter.simulator.windows.configuration import Scope
from dhcp_failover_exporter.simulator.windows.states import State

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.windows.failover import Phase, Relationship
    from dhcp_failover_exporter.simulator.windows.server import DhcpServer

_OFFER_SECONDS = 2.0
_CLIENT_RETRY_SECONDS = 60.0
_UNLIMITED_SECONDS = 10 * 365 * 86_400.0


@dataclass(frozen=True)
class Population:
    """The clients of a scope: how many, and how long each stays and stays away on average."""

    clients: int = 40
    stay_seconds: float = 14_400.0
    away_seconds: float = 7_200.0


@dataclass(frozen=True)
class Statistics:
    """One server's view of a scope, at one moment. "Partner" figures are 0 outside failover."""

    free_on_this: int
    free_on_partner: int
    in_use_on_this: int
    in_use_on_partner: int
    offered: int

    @property
    def free(self) -> int:
        """Free addresses of the scope, as this server sees them."""
        return self.free_on_this + self.free_on_partner

    @property
    def in_use(self) -> int:
        """Leased addresses of the scope, as this server sees them."""
        return self.in_use_on_this + self.in_use_on_partner


class Lease(NamedTuple):
    """`owner` is the index of the server that granted or last renewed it: 0 primary, 1 secondary."""

    client: int
    owner: int
    expires: float


@dataclass
class View:
    """What one server knows. `mine[address]` is 1 where the address is of its own share of the free ones."""

    mine: bytearray
    leases: dict[int, Lease] = field(default_factory=dict)
    offers: dict[int, int] = field(default_factory=dict)
    unsent: dict[int, Lease | None] = field(default_factory=dict)

    def is_free(self, address: int) -> bool:
        """Neither leased nor offered."""
        return address not in self.leases and address not in self.offers

    def find_free(self, start: int, *, whole: bool) -> int | None:
        """A free address of the own share, or of the whole pool, searched from `start` on."""
        size = len(self.mine)
        if len(self.leases) + len(self.offers) >= size:
            return None
        candidates = ((start + step) % size for step in range(size))
        return next((a for a in candidates if (whole or self.mine[a]) and self.is_free(a)), None)


@dataclass
class Client:
    """One device. `hash` decides which server of a load-balancing pair answers it."""

    hash: int
    address: int | None = None
    server: int = 0
    leaves: float = 0.0


class _Step(NamedTuple):
    time: float
    number: int
    act: Callable[..., None]
    arguments: tuple[float, ...]


class Pool:
    """The addresses of one scope, played against the history of its relationship (None outside failover).

    `servers` is (primary, secondary), or the one server. Advanced lazily: `statistics` first catches up.
    """

    def __init__(
        self,
        scope: Scope,
        servers: tuple["DhcpServer", ...],
        relationship: "Relationship | None",
        population: Population,
        now: float,
    ) -> None:
        self.scope_id = scope.scope_id
        self.first_address = IPv4Address(scope.start_range)
        self.size = size = scope.size
        self.lease_seconds = scope.lease_seconds or _UNLIMITED_SECONDS
        self.servers = servers
        self.relationship = relationship
        self.population = population
        self.time = now
        self.refuses_updates: str | None = None
        self._random = Random(scope.scope_id)  # noqa: S311 - simulated clients keep no secrets
        self._steps: list[_Step] = []
        self._number = 0
        self._cursor = len(relationship.phases) - 1 if relationship else 0
        self._cached: dict[int, Statistics] = {}
        self._unbalanced = True
        self.views = tuple(View(mine=bytearray(b"\x01" * size)) for _ in servers)
        self.clients = [Client(hash=self._random.randrange(256)) for _ in range(population.clients)]
        self._share_out()
        self._settle_in()
        self._share_out()
        if relationship:
            self._at(now + relationship.timing.rebalance, self._rebalance)

    # Reading

    def statistics(self, server: "DhcpServer", now: float) -> Statistics:
        """How `server` sees the scope at `now`."""
        self.advance(now)
        index = self.servers.index(server)
        if index not in self._cached:
            self._cached[index] = self._count(index)
        return self._cached[index]

    def _count(self, index: int) -> Statistics:
        view = self.views[index]
        taken = [*view.leases, *view.offers]
        mine = sum(view.mine) - sum(view.mine[address] for address in taken)
        owned = sum(lease.owner == index for lease in view.leases.values())
        return Statistics(
            free_on_this=mine,
            free_on_partner=self.size - len(taken) - mine,
            in_use_on_this=owned,
            in_use_on_partner=len(view.leases) - owned,
            offered=len(view.offers),
        )

    def unsent_updates(self, server: "DhcpServer") -> int:
        """Binding updates that wait for the partner."""
        return len(self.views[self.servers.index(server)].unsent)

    # Time

    def advance(self, now: float) -> None:
        """Play everything up to `now`: clients' steps and phases of the relationship, in order."""
        while (following := self._next_phase()) and following.start <= now:
            self._play_until(following.start)
            self._cursor += 1
            self.time = max(self.time, following.start)
            self._phase_began(following)
        self._play_until(now)
        self.time = max(self.time, now)

    def _next_phase(self) -> "Phase | None":
        phases = self.relationship.phases if self.relationship else []
        return phases[self._cursor + 1] if self._cursor + 1 < len(phases) else None

    def _play_until(self, moment: float) -> None:
        while self._steps and self._steps[0].time <= moment:
            step = heapq.heappop(self._steps)
            self.time = max(self.time, step.time)
            self._cached.clear()
            step.act(*step.arguments)

    def _at(self, time: float, act: Callable[..., None], *arguments: float) -> None:
        self._number += 1
        heapq.heappush(self._steps, _Step(time, self._number, act, arguments))

    # The relationship as it is at self.time

    @property
    def _phase(self) -> "Phase | None":
        return self.relationship.phases[self._cursor] if self.relationship else None

    @property
    def _exchanging(self) -> bool:
        return self._phase is not None and self._phase.exchanging

    @property
    def _together(self) -> bool:
        """Both serve as one, each its part of the clients."""
        phase = self._phase
        return phase is not None and phase.linked and phase.states == (State.NORMAL, State.NORMAL)

    def _state(self, index: int) -> State | None:
        if self._phase is not None:
            return self._phase.states[index]
        return State.PARTNER_DOWN if self.servers[index].serving else None

    def _answers(self, index: int, *, renewal: bool = False) -> bool:
        state = self._state(index)
        if state is None or not self.servers[index].may_lease:
            return False
        return state.answers_renewals if renewal else state.answers_everyone

    @property
    def _running(self) -> list[int]:
        return [index for index in range(len(self.servers)) if self._state(index) is not None]

    def _has_whole_pool(self, index: int) -> bool:
        if self._phase is None:
            return True
        start = self._phase.whole_pool_from[index]
        return start is not None and start <= self.time

    def _phase_began(self, phase: "Phase") -> None:
        self._cached.clear()
        for index in range(len(self.servers)):
            start = phase.whole_pool_from[index]
            if start is not None:
                self._at(max(start, self.time), self._take_whole_pool, index)
            if phase.exchanging:
                self._send_unsent(index)
        if self._together:
            self._unbalanced = True
            self._share_out()

    def _take_whole_pool(self, index: int) -> None:
        if self._has_whole_pool(index):
            self.views[index].mine = bytearray(b"\x01" * self.size)

    # Sharing out the free addresses

    def _rebalance(self) -> None:
        if self.relationship:
            self._at(self.time + self.relationship.timing.rebalance, self._rebalance)
        if self._together and self._exchanging:
            self._share_out()

    def _share_out(self) -> None:
        """Give each partner its share of the free addresses, moving as few as possible."""
        if self.relationship is None or not self._unbalanced:
            return
        self._unbalanced = False
        first, second = self.views
        free = [address for address in range(self.size) if first.is_free(address) and second.is_free(address)]
        surplus = sum(first.mine[address] for address in free) - round(self._primary_share() * len(free))
        second.mine = bytearray(1 - mine for mine in first.mine)
        donors = [address for address in free if first.mine[address] == (surplus > 0)]
        for address in donors[: abs(surplus)]:
            first.mine[address], second.mine[address] = int(surplus < 0), int(surplus > 0)

    def _primary_share(self) -> float:
        assert self.relationship is not None  # noqa: S101 - asked by _share_out only
        primary = self.relationship.primary
        if primary.parameters.load_balance_percent is not None:
            return primary.parameters.load_balance_percent / 100
        reserve = (primary.parameters.reserve_percent or 0) / 100
        return 1 - reserve if primary.is_active else reserve

    # Clients

    def _settle_in(self) -> None:
        """Begin in the middle of a day: some clients are there already."""
        present = self.population.stay_seconds / (self.population.stay_seconds + self.population.away_seconds)
        for number, client in enumerate(self.clients):
            if self._random.random() < present and (server := self._chosen(client)) is not None:
                address = self.views[server].find_free(self._random.randrange(self.size), whole=False)
                if address is not None:
                    self._stay(client)
                    self._grant(number, server, address, self.lease_seconds * self._random.uniform(0.5, 1))
                    continue
            self._stay_away(number)

    def _stay_away(self, number: int) -> None:
        away = self._random.expovariate(1 / self.population.away_seconds)
        self._at(self.time + away, self._discover, number)

    def _stay(self, client: Client) -> None:
        client.leaves = self.time + self._random.expovariate(1 / self.population.stay_seconds)

    def _chosen(self, client: Client) -> int | None:
        """The server that answers this client's broadcast."""
        answering = [index for index in range(len(self.servers)) if self._answers(index)]
        if not answering:
            return None
        if self._together:
            return self._chosen_of_two(client)
        return answering[client.hash % len(answering)]

    def _chosen_of_two(self, client: Client) -> int:
        assert self.relationship is not None  # noqa: S101 - two servers are a relationship
        primary = self.relationship.primary
        if primary.parameters.load_balance_percent is not None:
            return int(client.hash * 100 >= primary.parameters.load_balance_percent * 256)
        return 0 if primary.is_active else 1

    def _discover(self, number: int) -> None:
        client = self.clients[number]
        for index in self._running:
            self.servers[index].count("Discovers")
        server = self._chosen(client)
        address = None if server is None else self._free_address(client, server)
        if server is None or address is None:
            self._at(self.time + _CLIENT_RETRY_SECONDS, self._discover, number)
            return
        self.views[server].offers[address] = number
        self.servers[server].count("Offers")
        self._at(self.time + _OFFER_SECONDS, self._request, number, server, address)

    def _free_address(self, client: Client, server: int) -> int | None:
        view, whole = self.views[server], self._has_whole_pool(server)
        start = client.address if client.address is not None else self._random.randrange(self.size)
        address = view.find_free(start, whole=whole)
        if address is None and self._together and self._exchanging:
            self._share_out()
            address = view.find_free(start, whole=whole)
        if address is None:
            mac = f"00-15-5d-{client.hash:02x}-00-{server:02x}"
            self.servers[server].log(self.time, events.POOL_EXHAUSTED, events.ERROR, mac, self.scope_id)
        return address

    def _request(self, number: int, server: int, address: int) -> None:
        self.views[server].offers.pop(address, None)
        for index in self._running:
            self.servers[index].count("Requests")
        if not self._answers(server) or not self.views[server].is_free(address):
            self._at(self.time + _CLIENT_RETRY_SECONDS, self._discover, number)
            return
        self._stay(self.clients[number])
        self._grant(number, server, address, self._lease_for(server, new=True))

    def _lease_for(self, server: int, *, new: bool) -> float:
        """MCLT for new clients and whenever the partner cannot confirm; else what the scope says."""
        if self.relationship is None:
            return self.lease_seconds
        mclt = self.relationship.ends[server].parameters.mclt_seconds
        confirmed = self._state(server) is State.NORMAL and self._exchanging and not new
        return (
            self.lease_seconds if confirmed or self._has_whole_pool(server) else min(mclt, self.lease_seconds)
        )

    def _grant(self, number: int, server: int, address: int, seconds: float) -> None:
        client = self.clients[number]
        client.address, client.server = address, server
        self.servers[server].count("Acks")
        self._bind(server, address, Lease(number, server, self.time + seconds))
        renews = self.time + seconds / 2
        step = self._renew if renews < client.leaves else self._leave
        self._at(min(renews, client.leaves), step, number)

    def _renew(self, number: int) -> None:
        client = self.clients[number]
        server = client.server
        if not self._answers(server, renewal=True):
            others = [i for i in range(len(self.servers)) if i != server and self._answers(i, renewal=True)]
            if not others:
                self._retry_renewal(number)
                return
            server = others[0]
        self.servers[server].count("Requests")
        lease = self._lease_of(number, server)
        if lease is None:
            self.servers[server].count("Naks")
            self._discover(number)
            return
        assert client.address is not None  # noqa: S101 - it has a lease
        self._grant(number, server, client.address, self._lease_for(server, new=False))

    def _lease_of(self, number: int, server: int) -> Lease | None:
        address = self.clients[number].address
        lease = self.views[server].leases.get(address) if address is not None else None
        return lease if lease is not None and lease.client == number else None

    def _retry_renewal(self, number: int) -> None:
        lease = self._lease_of(number, self.clients[number].server)
        remaining = lease.expires - self.time if lease else 0.0
        if remaining > _CLIENT_RETRY_SECONDS:
            self._at(self.time + remaining / 2, self._renew, number)
        else:
            self._at(self.time + _CLIENT_RETRY_SECONDS, self._discover, number)

    def _leave(self, number: int) -> None:
        """Half of the clients say goodbye; the others' leases end by themselves."""
        client = self.clients[number]
        server, address = client.server, client.address
        polite = client.hash % 2 and self._answers(server, renewal=True) and self._lease_of(number, server)
        if polite and address is not None:
            self.servers[server].count("Releases")
            self._bind(server, address, None)
        self._stay_away(number)

    # Bindings, and telling the partner

    def _bind(self, server: int, address: int, lease: Lease | None) -> None:
        self._record(server, address, lease)
        if self.relationship is None:
            return
        if self._exchanging:
            self._send(server, address, lease)
        else:
            self._queue(server, address, lease)

    def _record(self, server: int, address: int, lease: Lease | None) -> None:
        self._unbalanced = True
        view = self.views[server]
        if lease is None:
            view.leases.pop(address, None)
            return
        view.offers.pop(address, None)
        view.leases[address] = lease
        self._at(lease.expires, self._expire, server, address, lease.expires)

    def _expire(self, server: int, address: int, expires: float) -> None:
        lease = self.views[server].leases.get(address)
        if lease is not None and lease.expires == expires:
            self._unbalanced = True
            del self.views[server].leases[address]

    def _queue(self, server: int, address: int, lease: Lease | None) -> None:
        owner = self.servers[server]
        unsent = self.views[server].unsent
        if address not in unsent and owner.outbound_updates >= owner.outbound_limit:
            owner.count("BndUpdDropped")
            _, partner, relationship = next(self._correspondents(server))
            owner.log(
                self.time, events.UPDATE_DROPPED, events.ERROR, self._ip(address), partner, relationship
            )
            return
        owner.outbound_updates += address not in unsent
        unsent[address] = lease

    def _send_unsent(self, server: int) -> None:
        unsent = self.views[server].unsent
        self.servers[server].outbound_updates -= len(unsent)
        updates = list(unsent.items())
        unsent.clear()
        for address, lease in updates:
            self._send(server, address, lease)

    def _send(self, server: int, address: int, lease: Lease | None) -> None:
        other = 1 - server
        self.servers[server].count("BndUpdSent")
        self.servers[other].count("BndUpdReceived")
        self.servers[other].count("BndAckSent")
        self.servers[server].count("BndAckReceived")
        if self.refuses_updates:
            self._refuse(server, address, self.refuses_updates)
        elif (theirs := self.views[other].leases.get(address)) and lease and theirs.client != lease.client:
            self._refuse(server, address, "Fatal conflict exists: address in use by other client.")
            if lease.expires > theirs.expires:
                self._record(other, address, lease)
        else:
            self._record(other, address, lease)

    def _refuse(self, server: int, address: int, reason: str) -> None:
        transaction = str(self._random.randrange(1, 2**31))
        for index, partner, relationship in self._correspondents(server):
            event = events.ACK_REJECT_RECEIVED if index == server else events.ACK_REJECT_SENT
            self.servers[index].log(
                self.time, event, events.ERROR, transaction, self._ip(address), reason, partner, relationship
            )

    def _correspondents(self, server: int) -> Iterator[tuple[int, str, str]]:
        """(index, the partner as that end spells it, the relationship's name), the sender first."""
        assert self.relationship is not None  # noqa: S101 - binding updates need a partner
        for index in (server, 1 - server):
            yield index, self.relationship.ends[index].partner_spelling, self.relationship.name

    def _ip(self, address: int) -> str:
        return str(self.first_address + address)
