"""The dashboard *DHCP failover: exporter*: whether the exporter itself can be trusted, and what it costs."""

from typing import Final

from .grafana import (
    EXPORTER,
    NONE_IS_GOOD,
    Column,
    Look,
    Shelf,
    choice,
    dashboard,
    datasource,
    history,
    lines,
    now,
    number,
    row,
    stat,
    steps,
    table,
)
from .queries import JOB, increase, own, per_server, rate, series

MOST: Final = 20

# No pair and no relationship: nothing here is about one.
VARIABLES: Final = [
    datasource(),
    choice("job", "Job", "label_values(dhcp_failover_exporter_build_info, job)"),
    choice("instance", "Instance", f"label_values(dhcp_failover_exporter_build_info{{{JOB}}}, instance)"),
    choice("server", "Server", f"label_values(dhcp_failover_up{{{JOB}}}, server)"),
]

COUNT: Final = Look("short", minimum=0)
SECONDS: Final = Look("s", minimum=0)
PER_SECOND: Final = Look("ops", minimum=0)
BYTES: Final = Look("bytes", minimum=0)
AGES: Final = steps("green", (2, "orange"), (3, "red"))


def _own(family: str, *matchers: str) -> str:
    return own(f"dhcp_failover_exporter_{family}", *matchers)


COUNTS = [
    stat(
        "Exporters",
        "Exporters that Prometheus can scrape.",
        number(f"count(group by (job, instance) ({_own('build_info')})) or vector(0)"),
        look=Look("short", steps("red", (1, "text"))),
    ),
    stat(
        "Servers",
        "Servers in the configuration, all exporters together.",
        number(f"count({per_server(series('up'))}) or vector(0)"),
        look=Look("short", steps("red", (1, "text"))),
    ),
    stat(
        "Without answer",
        "Servers that do not answer over WinRM.",
        number(f"count({per_server(series('up'))} == 0) or vector(0)"),
        look=Look("short", NONE_IS_GOOD),
    ),
    stat(
        "Sections failing",
        "Sections of which the last collection left records out.",
        number(f"count(min by (server, section) ({series('section_success')}) == 0) or vector(0)"),
        look=Look("short", NONE_IS_GOOD),
    ),
    stat(
        "Sessions open",
        "Sessions to DHCP servers that are open: one per server, two for a moment.",
        number(f"sum({_own('sessions_open')})"),
        look=Look("short"),
    ),
    stat(
        "Configuration",
        "Whether the configuration file could be used when it was last read.",
        number(f"min({_own('config_last_reload_successful')})"),
        look=Look("bool_on_off", steps("red", (1, "green"))),
    ),
    stat(
        "Scrape",
        "How long Prometheus' last scrape took, of the slowest exporter.",
        number(f"max({own('scrape_duration_seconds')})"),
        look=Look("s", steps("green", (1, "orange"), (5, "red"))),
    ),
    stat(
        "Series",
        "Samples of the last scrapes, all exporters together.",
        number(f"sum({own('scrape_samples_scraped')})"),
        look=Look("short"),
    ),
]

FAILING = table(
    "Failing now",
    "Servers whose last state poll failed, and why. auth: the logon was refused; suspended: none is tried, "
    "so as not to lock the account.",
    now(f"{per_server(series('poll_failed'), 'reason')} == 1"),
    columns=[Column("server", "Server"), Column("reason", "Reason", width=140)],
    sort=("Reason", False),
    no_value="",
)
SECTIONS_FAILING = table(
    "Sections failing now",
    "Sections that the server refused or that could not be read whole, and why. permission: a right is "
    "missing; dhcp: the DHCP service does not answer.",
    now(f"{per_server(series('section_failed'), 'section', 'reason')} == 1"),
    columns=[
        Column("server", "Server"),
        Column("section", "Section", width=140),
        Column("reason", "Reason", width=140),
    ],
    sort=("Section", False),
    no_value="",
)

POLLS = lines(
    "State polls",
    "Finished state polls per second, and those that failed.",
    history(f"sum({per_server(rate(series('polls_total')))})", "polls"),
    history(f"sum({per_server(rate(series('poll_failures_total')), 'reason')})", "failures"),
    look=PER_SECOND,
)
FAILURES = lines(
    "Failed state polls by reason",
    "Failed polls per step, over all servers.",
    history(
        f"sum by (reason) ({per_server(increase(series('poll_failures_total')), 'reason')})", "{{reason}}"
    ),
    look=COUNT,
    stacked=True,
)
LATENESS = lines(
    "Lateness of state polls",
    "How long after it was due a state poll began: the half of them, and all but one in a hundred.",
    *(
        history(
            f"histogram_quantile({quantile}, sum by (le) ({rate(_own('poll_lateness_seconds_bucket'))}))",
            legend,
        )
        for quantile, legend in ((0.5, "median"), (0.99, "99 %"))
    ),
    look=SECONDS,
)

DURATIONS = lines(
    "Slowest collection by section",
    "How long the last collection took on the server where it took longest, as the servers say.",
    history(f"max by (section) ({series('section_duration_seconds')})", "{{section}}"),
    look=SECONDS,
)


def _slowest() -> str:
    slowest = f"max by (server) ({series('section_duration_seconds')} @ end())"
    return f"topk({MOST}, {slowest})"


SLOW_SERVERS = lines(
    f"The {MOST} slowest servers",
    "How long the slowest section of each took, as the servers say.",
    history(
        f"max by (server) ({series('section_duration_seconds')}) and on (server) {_slowest()}",
        "{{server}}",
    ),
    look=SECONDS,
)
AGE = lines(
    "Oldest section, in its own intervals",
    "Age of the last success, divided by how often the section is due, of the server where it is oldest. "
    "Data older than 2.5 intervals is left out.",
    history(
        f"max by (section) ((time() - {series('section_timestamp_seconds')}) "
        f"/ {series('section_interval_seconds')})",
        "{{section}}",
    ),
    look=Look("none", AGES, minimum=0, decimals=1),
)

SESSIONS = lines(
    "Sessions open",
    "Sessions to DHCP servers that are open, by exporter.",
    history(f"sum by (instance) ({_own('sessions_open')})", "{{instance}}"),
    look=COUNT,
)
OPENED = lines(
    "Sessions opened by reason",
    "Each one is a logon on a DHCP server. renewed: after its hour; expired: the server had forgotten it; "
    "lost: the connection broke; permission: rights apply at logon.",
    history(f"sum by (reason) ({increase(_own('sessions_opened_total'))})", "{{reason}}"),
    look=COUNT,
    stacked=True,
)
UNCERTAINTY = lines(
    "Uncertainty of the clock offsets, the largest",
    "How far a measured clock offset may be from the truth, of the server where it is least certain.",
    history(f"max({series('clock_offset_uncertainty_seconds')})", "largest"),
    look=SECONDS,
)

SCRAPE = lines(
    "Scrape duration",
    "How long Prometheus' scrapes took. The exporter never waits for a server while it is scraped.",
    history(f"max by (instance) ({own('scrape_duration_seconds')})", "{{instance}}"),
    look=SECONDS,
)
SAMPLES = lines(
    "Samples per scrape",
    "How many samples each scrape brings.",
    history(f"max by (instance) ({own('scrape_samples_scraped')})", "{{instance}}"),
    look=COUNT,
)
CPU = lines(
    "CPU",
    "Processor time of the exporter; 100 % is one core.",
    history(f"max by (instance) ({rate(own('process_cpu_seconds_total'))})", "{{instance}}"),
    look=Look("percentunit", minimum=0, decimals=0),
)
MEMORY = lines(
    "Memory",
    "Resident memory of the exporter.",
    history(f"max by (instance) ({own('process_resident_memory_bytes')})", "{{instance}}"),
    look=BYTES,
)

VERSIONS = table(
    "Versions",
    "Which exporter runs where, and since when its configuration is in force.",
    now(f"max by (instance, version, python_version) ({_own('build_info')})"),
    now(f"max by (instance) (time() - {_own('config_last_reload_success_timestamp_seconds')})"),
    now(f"max by (instance) (time() - {own('process_start_time_seconds')})"),
    columns=[
        Column("instance", "Instance"),
        Column("version", "Version"),
        Column("python_version", "Python"),
        Column("Value #B", "Configuration since", Look("s", decimals=0)),
        Column("Value #C", "Running for", Look("s", decimals=0)),
    ],
    sort=("Instance", False),
)
TARGETS = table(
    "How servers are asked",
    "Address, authentication as negotiated and credential of each server, with its Windows and PowerShell "
    "version.",
    now(f"max by (server, address, auth, credential) ({series('target_info')})"),
    now(f"max by (server, os_version, ps_version) ({series('server_info')})"),
    columns=[
        Column("server", "Server"),
        Column("address", "Address"),
        Column("auth", "Authentication"),
        Column("credential", "Credential"),
        Column("os_version", "Windows"),
        Column("ps_version", "PowerShell"),
    ],
    sort=("Server", False),
)

DASHBOARD = dashboard(
    EXPORTER,
    "DHCP failover: exporter",
    "Polls, failures, sessions and cost of the exporter itself: whether what the other dashboards show is "
    "true.",
    VARIABLES,
    [
        Shelf(4, COUNTS),
        Shelf(8, [FAILING, SECTIONS_FAILING]),
        Shelf(1, [row("Polls")]),
        Shelf(8, [POLLS, FAILURES, LATENESS]),
        Shelf(8, [DURATIONS, SLOW_SERVERS, AGE]),
        Shelf(1, [row("Sessions")]),
        Shelf(8, [SESSIONS, OPENED, UNCERTAINTY]),
        Shelf(1, [row("Cost")]),
        Shelf(8, [SCRAPE, SAMPLES, CPU, MEMORY]),
        Shelf(1, [row("Inventory")]),
        Shelf(8, [VERSIONS, TARGETS], widths=(10, 14)),
    ],
)
