"""What an administrator configures on a server: scopes with all their parts, server options, firewall rules.

Failover does not keep the partners' configuration equal; replication does, when somebody starts it.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True)
class Option:
    """One option value, of a server, a scope or a policy."""

    option_id: int
    values: tuple[str, ...]
    type: str = "IPv4Address"
    name: str | None = None
    vendor_class: str | None = None
    user_class: str | None = None
    policy_name: str | None = None


@dataclass(frozen=True)
class Reservation:
    """An address kept for one client."""

    ip_address: str
    client_id: str
    name: str | None = None
    description: str | None = None
    type: str = "Both"


@dataclass(frozen=True)
class Exclusion:
    """A part of the range that is never leased."""

    start_range: str
    end_range: str


@dataclass(frozen=True)
class Policy:
    """A scope policy; `criteria` pairs Windows' property with its value: ("MacAddress", ("EQ", "001*"))."""

    name: str
    processing_order: int = 1
    enabled: bool = True
    condition: str = "Or"
    description: str | None = None
    criteria: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Scope:
    """One server's configuration of a scope. `lease_seconds` None is an unlimited lease."""

    scope_id: str
    subnet_mask: str
    start_range: str
    end_range: str
    name: str
    lease_seconds: float | None = 691_200.0
    state: str = "Active"
    superscope_name: str | None = None
    description: str | None = None
    type: str = "Dhcp"
    delay_milliseconds: int = 0
    options: tuple[Option, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    policies: tuple[Policy, ...] = ()

    @property
    def size(self) -> int:
        """Addresses that can be leased."""
        excluded = sum(_length(each.start_range, each.end_range) for each in self.exclusions)
        return _length(self.start_range, self.end_range) - excluded


@dataclass
class FirewallRule:
    """One rule of the active store; `local_ports` as Windows says them: "647", "600-700", "Any"."""

    name: str
    enabled: bool = True
    direction: str = "Inbound"
    action: str = "Allow"
    profile: str = "Any"
    protocol: str = "TCP"
    local_ports: tuple[str, ...] = ("647",)
    source: str = "Local"
    program: str = "Any"
    remote_address: str = "Any"

    def covers(self, port: int) -> bool:
        """Whether the partner's TCP packet to `port` matches; a limited rule is one for others."""
        applies = self.enabled and self.direction == "Inbound" and self.protocol in {"TCP", "Any"}
        unlimited = self.program == self.remote_address == "Any"
        return applies and unlimited and any(_within(port, each) for each in self.local_ports)


FAILOVER_RULES = ("Microsoft-Windows-DHCP-Failover-TCP-In", "Microsoft-Windows-DHCP-Failover-TCP-Out")


def installed_rules() -> list[FirewallRule]:
    """What the role brings, and some rules that have nothing to do with it."""
    return [
        FirewallRule(FAILOVER_RULES[0]),
        FirewallRule(FAILOVER_RULES[1], direction="Outbound", local_ports=("Any",)),
        FirewallRule("Microsoft-Windows-DHCP-ClientSvc-DHCPv4-In", protocol="UDP", local_ports=("67",)),
        FirewallRule("Microsoft-Windows-DHCP-ClientSvc-RPC-TCP-In", local_ports=("RPC",)),
        FirewallRule("WINRM-HTTP-In-TCP", local_ports=("5985",)),
    ]


@dataclass
class PowerShellPolicies:
    """Group policies that write every call to the server's disk."""

    transcription: bool = False
    module_logging: bool = False


@dataclass
class Identity:
    """How a server is called and what runs on it."""

    name: str
    domain: str = "lab.local"
    address: str = "10.0.0.1"
    os_version: str = "10.0.20348.2849"
    ps_version: str = "5.1.20348.2849"
    aliases: tuple[str, ...] = field(default=())

    @property
    def fqdn(self) -> str:
        """Full name, in lower case."""
        return f"{self.name}.{self.domain}".lower()

    def spelled(self, style: str) -> str:
        """The name as an administrator types it: `netbios` DHCP01, `fqdn` dhcp01.lab.local, `ip` 10.0.0.1."""
        return {"netbios": self.name.upper(), "fqdn": self.fqdn, "ip": self.address}[style]

    def answers_to(self, name: str) -> bool:
        """Whether name resolution of `name` leads here."""
        names = {self.name.lower(), self.fqdn, self.address, *(alias.lower() for alias in self.aliases)}
        return name.lower() in names


def scopes(
    count: int,
    network: str = "10.1.0.0/24",
    *,
    name: str = "Floor",
    lease_seconds: float | None = 28_800.0,
    superscope_name: str | None = None,
    detailed: bool = True,
) -> list[Scope]:
    """`count` neighbouring networks from `network` on, each with a range from the 10th address on.

    `detailed` gives each one options, a reservation, an exclusion, and every tenth a policy.
    """
    first = IPv4Network(network)
    networks = [IPv4Network((int(first[0]) + n * first.num_addresses, first.prefixlen)) for n in range(count)]
    plain = [
        _scope(each, f"{name} {number}", lease_seconds, superscope_name)
        for number, each in enumerate(networks, start=1)
    ]
    return [_detailed(scope, number) for number, scope in enumerate(plain)] if detailed else plain


def _scope(
    network: IPv4Network, name: str, lease_seconds: float | None, superscope_name: str | None
) -> Scope:
    return Scope(
        scope_id=str(network[0]),
        subnet_mask=str(network.netmask),
        start_range=str(network[min(10, network.num_addresses // 8)]),
        end_range=str(network[-6]),
        name=name,
        lease_seconds=lease_seconds,
        superscope_name=superscope_name,
    )


def _detailed(scope: Scope, number: int) -> Scope:
    start = IPv4Address(scope.start_range)
    policy = Policy(
        name="Phones",
        criteria=(("MacAddress", ("EQ", "00155D*")),),
        ranges=((str(start + 20), str(start + 40)),),
    )
    return replace(
        scope,
        options=(
            Option(3, (str(IPv4Address(scope.scope_id) + 1),), name="Router"),
            Option(6, ("10.0.0.10", "10.0.0.11"), name="DNS Servers"),
            Option(15, ("lab.local",), type="String", name="DNS Domain Name"),
        ),
        reservations=(
            Reservation(
                str(start + 5), f"00-15-5d-{number >> 8:02x}-{number & 255:02x}-01", f"printer-{number}"
            ),
        ),
        exclusions=(Exclusion(str(start), str(start + 3)),),
        policies=(policy,) if number % 10 == 0 else (),
    )


def _length(start: str, end: str) -> int:
    return int(IPv4Address(end)) - int(IPv4Address(start)) + 1


def _within(port: int, ports: str) -> bool:
    if ports == "Any":
        return True
    low, _, high = ports.partition("-")
    return low.isdigit() and int(low) <= port <= int(high or low)
