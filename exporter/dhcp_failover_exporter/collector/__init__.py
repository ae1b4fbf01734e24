"""The one thing that runs on a DHCP server: a read-only PowerShell function.

It is shipped as text. What its documents look like is said in the function's own help; what they mean is
known to `snapshot`, how they travel to `session`.
"""

from importlib.resources import files

CONTRACT_VERSION = 1
"""Value of `contract` in every document that the function writes."""

FUNCTION_NAME = "Get-DhcpFailoverSnapshot"
"""Name by which the function is invoked, on the default endpoint and on a JEA one."""

SOURCE: str = (files(__name__) / f"{FUNCTION_NAME}.ps1").read_text(encoding="ascii")
"""Text of the function: defined once per session, or put into a JEA role capability."""
