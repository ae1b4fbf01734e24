"""Ready-made networks: a pair of servers, a hub with several partners, scopes and relationships on them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dhcp_failover_exporter.simulator.windows.addresses import Pool, Population
from dhcp_failover_exporter.simulator.windows.configuration import Identity, Option, Scope, scopes
from dhcp_failover_exporter.simulator.windows.failover import End, Parameters, Relationship, Timing
from dhcp_failover_exporter.simulator.windows.network import Clock, Network
from dhcp_failover_exporter.simulator.windows.server import DhcpServer

DEFAULT_POPULATION = Population()


@dataclass(frozen=True)
class Pace:
    """The intervals of a relationship in seconds, as they run and as the cmdlets report them."""

    contact: float = 60.0
    silence: float = 180.0
    mclt: float = 3600.0
    state_switch: float | None = None
    timing: Timing | None = None

    def parameters(self, *, load_balance: int | None = None, reserve: int | None = None) -> Parameters:
        """What both ends are told."""
        return Parameters(
            mclt_seconds=self.mclt,
            state_switch_seconds=self.state_switch,
            load_balance_percent=load_balance,
            reserve_percent=reserve,
        )

    @property
    def rhythm(self) -> Timing:
        """Given, or in proportion to the contact interval."""
        return self.timing or Timing.paced(self.contact, self.silence)


def add_server(network: Network, name: str, address: str, *, domain: str = "lab.local") -> DhcpServer:
    """A server with the DHCP role and nothing configured but two server options."""
    server = DhcpServer(network, Identity(name=name, domain=domain, address=address))
    server.set_option(Option(6, ("10.0.0.10", "10.0.0.11"), name="DNS Servers"))
    server.set_option(Option(15, (domain,), type="String", name="DNS Domain Name"))
    return server


@dataclass(frozen=True)
class Setup:
    """What both modes have in common.

    `spelling` is how the primary and the secondary were told their partner: netbios, fqdn or ip.
    Not `established`: the relationship was created this moment.
    """

    pace: Pace = Pace()
    population: Population = DEFAULT_POPULATION
    spelling: tuple[str, str] = ("fqdn", "fqdn")
    established: bool = True


def load_balance(
    name: str,
    primary: DhcpServer,
    secondary: DhcpServer,
    members: Iterable[Scope],
    *,
    percent: int = 50,
    setup: Setup = Setup(),
) -> Relationship:
    """A load-balance relationship; `percent` is the primary's share."""
    parameters = setup.pace.parameters(load_balance=percent)
    relationship = _relate(name, (primary, secondary), parameters, setup)
    return protect(relationship, members, setup.population)


def hot_standby(
    name: str,
    primary: DhcpServer,
    secondary: DhcpServer,
    members: Iterable[Scope],
    *,
    reserve: int = 5,
    setup: Setup = Setup(),
    primary_is_active: bool = True,
) -> Relationship:
    """A hot-standby relationship; `reserve` is the standby's share of the free addresses, in percent."""
    relationship = _relate(name, (primary, secondary), setup.pace.parameters(reserve=reserve), setup)
    relationship.primary.is_active = primary_is_active
    relationship.secondary.is_active = not primary_is_active
    return protect(relationship, members, setup.population)


def _relate(
    name: str, servers: tuple[DhcpServer, DhcpServer], parameters: Parameters, setup: Setup
) -> Relationship:
    network = servers[0].network
    with network.moment() as now:
        ends = [
            End(
                server,
                is_primary=index == 0,
                partner_spelling=servers[1 - index].identity.spelled(setup.spelling[index]),
                parameters=parameters,
            )
            for index, server in enumerate(servers)
        ]
        relationship = Relationship(
            name, ends[0], ends[1], setup.pace.rhythm, now, established=setup.established
        )
        for end in ends:
            end.server.ends.append((relationship, end))
        network.relationships.append(relationship)
    return relationship


def protect(relationship: Relationship, members: Iterable[Scope], population: Population) -> Relationship:
    """Put scopes into the relationship, on both servers."""
    servers = (relationship.primary.server, relationship.secondary.server)
    _add_scopes(servers, relationship, members, population)
    return relationship


def unprotected(
    server: DhcpServer,
    members: Iterable[Scope],
    population: Population = DEFAULT_POPULATION,
) -> None:
    """Scopes outside failover, on one server."""
    _add_scopes((server,), None, members, population)


def _add_scopes(
    servers: tuple[DhcpServer, ...],
    relationship: Relationship | None,
    members: Iterable[Scope],
    population: Population,
) -> None:
    with servers[0].network.moment() as now:
        for scope in members:
            pool = Pool(scope, servers, relationship, population, now)
            for server in servers:
                server.scopes[scope.scope_id] = scope
                server.pools[scope.scope_id] = pool


@dataclass
class Pair:
    """Two servers and their relationships, on a network of their own."""

    network: Network
    primary: DhcpServer
    secondary: DhcpServer
    relationships: list[Relationship] = field(default_factory=list)

    @classmethod
    def of(
        cls, clock: Clock | None = None, names: tuple[str, str] = ("dhcp01", "dhcp02"), subnet: str = "10.0.0"
    ) -> "Pair":
        """Two servers without a relationship yet."""
        network = Network(clock)
        primary = add_server(network, names[0], f"{subnet}.1")
        return cls(network, primary, add_server(network, names[1], f"{subnet}.2"))

    @property
    def servers(self) -> tuple[DhcpServer, DhcpServer]:
        """The two servers."""
        return self.primary, self.secondary

    def block_into_secondary(self, *, silently: bool = True) -> None:
        """TCP 647 into the secondary: the relationships break, silently only after the silence limit."""
        self.network.block(self.primary, self.secondary, silently=silently)

    def block_into_primary(self, *, silently: bool = True) -> None:
        """TCP 647 into the primary: nothing happens but that the secondary's probe fails."""
        self.network.block(self.secondary, self.primary, silently=silently)

    def unblock(self) -> None:
        """Both directions are open again."""
        self.network.unblock(self.primary, self.secondary)
        self.network.unblock(self.secondary, self.primary)


def static_pair(
    clock: Clock | None = None,
    *,
    names: tuple[str, str] = ("dhcp01", "dhcp02"),
    load_balance_scopes: int = 150,
    hot_standby_scopes: int = 100,
    unprotected_scopes: int = 0,
    setup: Setup = Setup(),
    subnet: int = 1,
) -> Pair:
    """A pair with a relationship of each mode. `subnet` (1-15) keeps several pairs' addresses apart."""
    pair = Pair.of(clock, names, f"10.0.{subnet}")
    first = subnet * 16
    balanced = scopes(load_balance_scopes, f"10.{first}.0.0/24", name="Floor")
    standing_by = scopes(hot_standby_scopes, f"10.{first + 8}.0.0/24", name="Branch")
    title = "-".join(names)
    pair.relationships = [
        load_balance(f"{title} load balance", *pair.servers, balanced, setup=setup),
        hot_standby(f"{title} hot standby", *pair.servers, standing_by, setup=setup),
    ]
    alone = scopes(unprotected_scopes, f"10.{first + 15}.0.0/24", name="Lab")
    unprotected(pair.primary, alone, setup.population)
    return pair


def hub(
    partners: int, clock: Clock | None = None, *, scopes_each: int = 10, setup: Setup = Setup()
) -> tuple[Network, DhcpServer, list[DhcpServer]]:
    """One central server, standby of every branch server: (network, centre, branches)."""
    network = Network(clock)
    centre = add_server(network, "dhcp00", "10.0.0.1")
    branches = [add_server(network, f"branch{n:02d}", f"10.0.0.{n + 1}") for n in range(1, partners + 1)]
    for number, branch in enumerate(branches, start=1):
        members = scopes(scopes_each, f"10.{number}.0.0/24", name=f"Branch {number}")
        hot_standby(f"branch{number:02d}-dhcp00", branch, centre, members, setup=setup)
    return network, centre, branches
