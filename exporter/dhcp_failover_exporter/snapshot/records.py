"""The records of contract version 1, named as Windows names the properties.

A record class is its own table: the attribute's words are those of the Windows property, the annotation says
how to read it, `| None` that it may be missing or not set.
"""

from dataclasses import dataclass
from typing import Annotated

from dhcp_failover_exporter.snapshot.shapes import (
    Address,
    Addresses,
    Count,
    Duration,
    Flag,
    Number,
    Object,
    Objects,
    Ordinal,
    Text,
    Time,
    Words,
)


@dataclass(frozen=True)
class Server:
    """The server itself; `service_status` is None where the account may not ask the service manager."""

    computer_name: Text | None = None
    os_version: Text | None = None
    ps_version: Text | None = None
    language_mode: Text | None = None
    service_status: Text | None = None
    utc_now: Time | None = None


@dataclass(frozen=True)
class Relationship:
    """One failover relationship as this server sees it: Get-DhcpServerv4Failover."""

    name: Text
    partner_server: Text
    state: Text
    scope_id: Addresses
    mode: Text | None = None
    server_role: Text | None = None
    server_type: Text | None = None
    primary_server_name: Text | None = None
    secondary_server_name: Text | None = None
    primary_server_ip: Text | None = None
    secondary_server_ip: Text | None = None
    load_balance_percent: Number | None = None
    reserve_percent: Number | None = None
    max_client_lead_time: Duration | None = None
    state_switch_interval: Duration | None = None
    auto_state_transition: Flag | None = None
    enable_auth: Flag | None = None


@dataclass(frozen=True)
class PortProbe:
    """A connect from the DHCP server to its partner's failover port."""

    partner_server: Text
    reachable: Flag
    address: Text | None = None
    port: Count | None = None
    seconds: Number | None = None
    error: Text | None = None


@dataclass(frozen=True)
class Scope:
    """One scope: Get-DhcpServerv4Scope; `lease_duration` in seconds, None where unlimited."""

    scope_id: Address
    subnet_mask: Text | None = None
    name: Text | None = None
    state: Text | None = None
    superscope_name: Text | None = None
    lease_duration: Duration | None = None
    start_range: Text | None = None
    end_range: Text | None = None


@dataclass(frozen=True)
class ScopeStatistics:
    """One scope's addresses: Get-DhcpServerv4ScopeStatistics; the last four are None outside failover."""

    scope_id: Address
    addresses_free: Count | None = None
    addresses_in_use: Count | None = None
    pending_offers: Count | None = None
    reserved_address: Count | None = None
    percentage_in_use: Number | None = None
    addresses_free_on_this_server: Count | None = None
    addresses_free_on_partner_server: Count | None = None
    addresses_in_use_on_this_server: Count | None = None
    addresses_in_use_on_partner_server: Count | None = None


@dataclass(frozen=True)
class Counters:
    """The server's running totals: Get-DhcpServerv4Statistics, and from `bnd_upd_sent` on the counters."""

    server_start_time: Time | None = None
    discovers: Count | None = None
    offers: Count | None = None
    requests: Count | None = None
    acks: Count | None = None
    naks: Count | None = None
    declines: Count | None = None
    releases: Count | None = None
    bnd_upd_sent: Count | None = None
    bnd_upd_received: Count | None = None
    bnd_upd_pending: Count | None = None
    bnd_upd_dropped: Count | None = None
    bnd_ack_sent: Count | None = None
    bnd_ack_received: Count | None = None
    transitions_communication_interrupted: Count | None = None
    transitions_partner_down: Count | None = None
    transitions_recover: Count | None = None


@dataclass(frozen=True)
class Event:
    """One record of a channel of Microsoft-Windows-DHCP Server Events; `properties` are its inserts."""

    record_id: Ordinal
    id: Ordinal
    properties: Words
    time_created: Time | None = None
    level: Number | None = None


@dataclass(frozen=True)
class Events:
    """The records of the Admin channel after the watermark, and its two ends; all None where it is empty.

    `changes` are the newest of the configuration, from the Operational channel, oldest first; None where they
    were not collected.
    """

    newest_record_id: Count | None = None
    oldest_record_id: Count | None = None
    oldest_time_created: Time | None = None
    more: Flag | None = None
    events: Annotated[tuple[Event, ...], Event] = ()
    changes: Annotated[tuple[Event, ...] | None, Event] = None


@dataclass(frozen=True)
class ServerSetting:
    """Authorisation in the domain, and policies that would write our calls to the server's disk."""

    is_domain_joined: Flag | None = None
    is_authorized: Flag | None = None
    transcription: Flag | None = None
    module_logging: Flag | None = None


@dataclass(frozen=True)
class FirewallRule:
    """One rule on local TCP 647 of the active store, or a built-in one that is not there."""

    name: Text
    present: Flag
    enabled: Flag | None = None
    direction: Text | None = None
    action: Text | None = None
    profile: Text | None = None
    local_port: Words | None = None
    policy_store_source_type: Text | None = None


@dataclass(frozen=True)
class ScopeConfiguration:
    """What replication carries for one scope, as Windows says it; None where a part was not collected."""

    scope_id: Address
    scope: Object | None = None
    options: Objects | None = None
    reservations: Objects | None = None
    exclusions: Objects | None = None
    policies: Objects | None = None


@dataclass(frozen=True)
class ServerOptions:
    """The server-level options, which nothing replicates."""

    server_options: Objects


Record = (
    Server
    | Relationship
    | PortProbe
    | Scope
    | ScopeStatistics
    | Counters
    | Events
    | ServerSetting
    | FirewallRule
    | ScopeConfiguration
    | ServerOptions
)
