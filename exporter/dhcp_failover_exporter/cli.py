"""The command line: flags, signals, exit codes, and the rooms put together.

Listening and logging are flags, everything else is in the configuration file. Exit codes: 0 after SIGTERM or
SIGINT, 1 when the address cannot be listened on, 2 for a wrong command line or configuration. Commands that
answer a question have exit codes of their own, in their help.
"""

import asyncio
import json
import platform
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Final

import click
import structlog
from starlette.types import ASGIApp

from dhcp_failover_exporter import __version__, check, config, diff, jea, logs
from dhcp_failover_exporter.engine import Engine
from dhcp_failover_exporter.errors import ConfigurationError
from dhcp_failover_exporter.session import kerberos_available, quiet_libraries
from dhcp_failover_exporter.web import listener
from dhcp_failover_exporter.web.app import create_app
from dhcp_failover_exporter.web.own import OwnMetrics
from dhcp_failover_exporter.web.reload import Reload

log = structlog.get_logger(__name__)

# Of the 5 s that SIGTERM leaves, the part for closing sessions on servers that answer.
STOP_SECONDS: Final = 3.0
WRONG_CONFIGURATION: Final = 2
DEMO_TEXT: Final = """\
Two simulated failover pairs are running and are being watched.
  status page  {url}
  metrics      {url}metrics
  control page {control}
  configuration {config}
What to try:
  1. Open the status page, and the control page beside it.
  2. Block port 647 into a secondary: both turn to CommunicationInterrupted, and the page says why.
  3. Take a host down: its partner turns to PartnerDown after a while; bring it back and watch it recover.
  4. Stop a DHCP service, or refuse the account: what failed is named, and stale values are gone.
  5. curl {url}metrics | grep -E 'failover_(state|up|partner_reachable)'
Stop with Ctrl+C.
"""
# Asked for and not left out: nobody else puts the account into a group of the server itself.
NEXT_TEXT: Final = """\
Next: copy {folder} to the DHCP server. In an elevated Windows PowerShell 5.1 there, dry run first:
  .\\{script} -Account (Read-Host 'monitoring account') -WhatIf
  .\\{script} -Account (Read-Host 'monitoring account')"""


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    try:
        if value is not None:
            listener.parse_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _after_command(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    """The group's flag is understood behind a command as well: people write it there."""
    if value is not None:
        context.find_root().params["config_file"] = value


_config_file_option = click.option(
    "--config.file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=_after_command,
    help="The configuration; may also stand before the command.",
)


@click.group(invoke_without_command=True, context_settings={"max_content_width": 110})
@click.option(
    "--config.file",
    "config_file",
    type=click.Path(path_type=Path),
    default="dhcp-failover-exporter.yml",
    show_default=True,
    metavar="FILE",
    help="The configuration; read again on SIGHUP and POST /-/reload.",
)
@click.option(
    "--config.check",
    "check_only",
    is_flag=True,
    help="Check the configuration and exit: 0 where it is right, 2 where not.",
)
@click.option(
    "--web.listen-address",
    "listen_address",
    default=":9647",
    show_default=True,
    metavar="[HOST]:PORT",
    callback=_address,
    help="Where to serve; without a host, on every address.",
)
@click.option(
    "--log.level",
    "log_level",
    type=click.Choice(logs.LEVELS),
    default="info",
    show_default=True,
    help="The least weighty lines to log.",
)
@click.option(
    "--log.format",
    "log_format",
    type=click.Choice(logs.FORMATS),
    default="logfmt",
    show_default=True,
    help="The form of the log, which goes to standard error.",
)
@click.version_option(
    __version__, message=f"dhcp-failover-exporter, version %(version)s (python {platform.python_version()})"
)
@click.pass_context
def main(context: click.Context, /, config_file: Path, **flags: str | bool) -> None:
    """Watch both partners of Windows DHCP failover pairs over WinRM, and tell Prometheus."""
    logs.configure(str(flags["log_level"]), str(flags["log_format"]))
    quiet_libraries()
    context.obj = flags["listen_address"]
    if flags["check_only"]:
        click.echo(f"{config_file}: right, {len(_load(config_file).servers)} servers")
    elif context.invoked_subcommand is None:
        run(config_file, str(flags["listen_address"]))


@main.command()
@click.option("--web.listen-address", "own_address", metavar="[HOST]:PORT", callback=_address, hidden=True)
@click.option(
    "--control.listen-address",
    "control_address",
    default="127.0.0.1:0",
    show_default=True,
    metavar="[HOST]:PORT",
    callback=_address,
    help="Where to serve the control page, which has no login; port 0 is any free one.",
)
@click.pass_obj
def demo(listen_address: str, own_address: str | None, control_address: str) -> None:
    """Simulate two failover pairs on this machine, watch them, and say what to try."""
    try:
        # Only here: what the simulator stands on comes with the demo extra alone.
        from dhcp_failover_exporter.simulator.lab import Lab  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"{missing}; the simulator needs: pip install 'dhcp-failover-exporter[demo]'"
        ) from None
    with (
        Lab(control=_listen(control_address)) as lab,
        TemporaryDirectory(prefix="dhcp-failover-demo-") as folder,
    ):
        config_file = Path(folder, "demo.yml")
        config_file.write_text(lab.configuration(), encoding="utf-8")
        run(
            config_file,
            own_address or listen_address,
            lambda url: click.echo(DEMO_TEXT.format(url=url, control=lab.control_url, config=config_file)),
        )


@main.command("check")
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
@_config_file_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a table.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Also write what was measured, anonymised, for an issue: builds, error ids, times.",
)
@click.pass_context
def check_command(
    context: click.Context, servers: tuple[str, ...], *, as_json: bool, report_file: Path | None
) -> None:
    """Check the way to every SERVER (default: all), the rights there, and what failover needs.

    Exit codes: 0 all fine, 1 something is to be done, 2 wrong configuration.
    """
    settings = _load(_config_file(context))
    measurements = check.measure_all(settings, _chosen(settings, servers))
    found = check.findings(measurements)
    if report_file:
        _write(report_file, _json(check.report(measurements, __version__)))
    click.echo(_json(check.document(measurements, found)) if as_json else check.table(measurements, found))
    context.exit(0 if check.is_fine(found) else 1)


@main.command("diff")
@click.argument("relationship")
@_config_file_option
@click.option("--server", metavar="NAME", help="One of the partners, where several pairs have that name.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")
@click.pass_context
def diff_command(context: click.Context, relationship: str, server: str | None, *, as_json: bool) -> None:
    """Compare what both partners of RELATIONSHIP have configured, scope by scope. Changes nothing.

    Exit codes: 0 the same, 1 different, 2 trouble: something could not be compared.
    """
    try:
        comparison = diff.diff(_load(_config_file(context)), relationship, server)
    except diff.DiffError as trouble:
        click.echo(str(trouble), err=True)
        context.exit(WRONG_CONFIGURATION)
    click.echo(_json(diff.document(comparison)) if as_json else diff.text(comparison))
    context.exit(comparison.exit_code)


@main.command("jea")
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where to write; files of an earlier run are replaced.",
)
@click.option(
    "--group",
    required=True,
    help="Who may connect: 'LAB\\DHCP Failover Monitors'; a name alone is a group of the server itself.",
)
@click.option("--managed-account", metavar="NAME", help="A gMSA to run as: 'LAB\\gmsa-dhcp$'.")
def jea_command(folder: Path, group: str, managed_account: str | None) -> None:
    """Write a PowerShell endpoint that can only answer this exporter, and the script that installs it."""
    try:
        paths = jea.write(folder, group, managed_account)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot write to {folder}: {error.strerror}") from None
    for path in paths:
        click.echo(path)
    click.echo(NEXT_TEXT.format(folder=folder, script=paths[-1].name))


def run(
    config_file: Path, listen_address: str, listening_at: Callable[[str], None] = lambda _url: None
) -> None:
    """Watch and serve until SIGTERM or SIGINT; `listening_at` is told the URL once the port is taken."""
    settings = _load(config_file)
    listening = _listen(listen_address)
    url = listener.url_of(listening)
    own = OwnMetrics()
    own.note_reload(successful=True)
    engine = Engine(settings, own.registry)
    reload = Reload(config_file, engine, own)

    def started() -> None:
        engine.start()
        log.info("started", version=__version__, servers=len(settings.servers), url=url)
        _tell_of_ntlm(settings)
        listening_at(url)

    try:
        asyncio.run(_serve(create_app(engine, own, reload), listening, reload, started))
    finally:
        engine.stop(STOP_SECONDS)
        log.info("stopped")


def _tell_of_ntlm(settings: config.Settings) -> None:
    """Without gssapi negotiate can only offer NTLM, and the library does not say so."""
    negotiating = [server.name for server in settings.servers if server.auth == "negotiate"]
    if negotiating and not kerberos_available():
        log.warning(
            "auth negotiate means NTLM here: for Kerberos install 'dhcp-failover-exporter[kerberos]'",
            servers=len(negotiating),
        )


def _load(config_file: Path) -> config.Settings:
    try:
        return config.load(config_file)
    except ConfigurationError as refused:
        click.echo(str(refused), err=True)
        raise SystemExit(WRONG_CONFIGURATION) from None


def _config_file(context: click.Context) -> Path:
    """The group's flag, for the commands below it."""
    return Path(context.find_root().params["config_file"])


def _chosen(settings: config.Settings, names: tuple[str, ...]) -> tuple[config.ServerSettings, ...]:
    chosen = [settings.server(name) for name in names] if names else settings.servers
    if unknown := [name for name in names if settings.server(name) is None]:
        raise click.UsageError(f"not in the configuration: {', '.join(unknown)}")
    return tuple(server for server in chosen if server)


def _json(document: object) -> str:
    return json.dumps(document, indent=2)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None


def _listen(address: str) -> socket:
    try:
        return listener.listen(address)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {address}: {error.strerror}") from None


async def _serve(app: ASGIApp, listening: socket, reload: Reload, started: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, _reload_quietly, reload))
    started()
    await listener.serve(app, listening, stop.wait)


def _reload_quietly(reload: Reload) -> None:
    """A signal has nobody to answer to: the log has the mistakes already."""
    with suppress(ConfigurationError):
        reload()
