"""`dhcp-failover-exporter jea`: what a DHCP server needs for an endpoint that can do nothing but answer us.

Writes files, touches no server. The module holds the collector's own text, byte for byte; everything else is
a template beside it. https://learn.microsoft.com/en-us/powershell/scripting/security/remoting/jea/overview
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from dhcp_failover_exporter import __version__
from dhcp_failover_exporter.collector import FUNCTION_NAME, SOURCE

ENDPOINT: Final = "DhcpFailoverExporter"
"""Name of module, role capability and endpoint: `configuration_name` in the exporter's configuration."""

MODULES: Final = (
    "DhcpServer",
    "NetSecurity",
    "CimCmdlets",
    "Microsoft.PowerShell.Management",
    "Microsoft.PowerShell.Utility",
    "Microsoft.PowerShell.Diagnostics",
)
"""What the function calls. A role that restricts visibility loads no module by itself."""

# Narrower than Windows: what goes into a file that PowerShell 5.1 reads must be ASCII and end no quotation.
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9 ._&+#-]*"
_ACCOUNT: Final = re.compile(rf"({_NAME}\\)?{_NAME}\$?")


@dataclass(frozen=True)
class RunAs:
    """Whose rights the function has: one session configuration each, least privilege first."""

    file: str
    lines: str
    title: str


def contents(group: str, managed_account: str | None = None) -> Mapping[str, str]:
    r"""All files by their path.

    Args:
        group: who may connect, as `LAB\DHCP Failover Monitors`; a name alone is a group of the server itself.
        managed_account: a gMSA to run as, as `LAB\gmsa-dhcp$`.

    Raises:
        ValueError: a name that cannot be one, or that PowerShell would read as code.
    """
    for name in filter(None, (group, managed_account)):
        if not _ACCOUNT.fullmatch(name):
            raise ValueError(f"not the name of an account or a group in plain ASCII: {name}")
    module = f"{ENDPOINT}/{ENDPOINT}"
    return {
        f"{module}.psm1": SOURCE,
        f"{module}.psd1": _filled("module.psd1"),
        f"{ENDPOINT}/RoleCapabilities/{ENDPOINT}.psrc": _filled("role.psrc"),
        **{it.file: _session(it, group) for it in _run_as(managed_account)},
        f"Install-{ENDPOINT}.ps1": _filled("install.ps1", group=group),
    }


def write(folder: Path, group: str, managed_account: str | None = None) -> list[Path]:
    """Write all files; those of an earlier run are replaced.

    Raises:
        OSError: the folder cannot be written to.
        ValueError: as `contents`.
    """
    paths = []
    for name, text in contents(group, managed_account).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # PowerShell reads either line end; the module must keep the collector's bytes.
        path.write_bytes(text.encode("ascii"))
        paths.append(path)
    return paths


def _run_as(managed_account: str | None) -> Iterator[RunAs]:
    yield RunAs(
        "Users.pssc",
        "RunAsVirtualAccount = $true\n"
        "    RunAsVirtualAccountGroups = 'DHCP Users', 'Performance Monitor Users', 'Event Log Readers'",
        "a virtual account that may only read; on a domain controller the groups are the domain's",
    )
    yield RunAs(
        "VirtualAccount.pssc",
        "RunAsVirtualAccount = $true",
        "a virtual account that is local administrator; on a domain controller it would be Domain Admin",
    )
    if managed_account:
        yield RunAs(
            "ManagedAccount.pssc",
            f"GroupManagedServiceAccount = '{managed_account}'",
            "a group managed service account, whose rights are those of its groups",
        )


def _session(run_as: RunAs, group: str) -> str:
    return _filled("session.pssc", group=group, run_as=run_as.lines, title=run_as.title, key=run_as.file)


def _filled(template: str, key: str = "", **words: str) -> str:
    """A template with its words; the GUID is the same for the same file, so that runs can be compared."""
    text = (files("dhcp_failover_exporter") / "collector" / "jea" / template).read_text(encoding="ascii")
    guid = uuid.uuid5(uuid.NAMESPACE_URL, f"https://dhcp-failover-exporter/{template}/{key}")
    known = {
        "endpoint": ENDPOINT,
        "function": FUNCTION_NAME,
        "guid": str(guid),
        "modules": ", ".join(f"'{name}'" for name in MODULES),
        "version": ".".join(re.findall(r"\d+", __version__)[:3]),
    }
    for name, word in {**known, **words}.items():
        text = text.replace(f"<<{name}>>", word)
    return text
