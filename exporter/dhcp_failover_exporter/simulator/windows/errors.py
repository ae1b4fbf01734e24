"""Error records as cmdlets raise them: id and category say what is wrong, the message does not."""

from enum import IntEnum


class Category(IntEnum):
    """The members of System.Management.Automation.ErrorCategory that occur here, with their numbers."""

    NotSpecified = 0
    InvalidArgument = 5
    InvalidData = 6
    InvalidOperation = 7
    ObjectNotFound = 13
    PermissionDenied = 18
    ResourceExists = 20
    ConnectionError = 27


class CmdletError(Exception):
    """One error record: `fully_qualified_error_id` such as "DHCP 20116,Get-DhcpServerv4Failover"."""

    def __init__(self, fully_qualified_error_id: str, category: Category, message: str) -> None:
        super().__init__(message)
        self.fully_qualified_error_id = fully_qualified_error_id
        self.category = category.name
        self.category_number = int(category)
        self.message = message


def dhcp_error(code: int, cmdlet: str, category: Category, message: str) -> CmdletError:
    """An error of the DHCP service, by its number."""
    return CmdletError(f"DHCP {code},{cmdlet}", category, message)


def access_denied(cmdlet: str, server: str) -> CmdletError:
    """What a DHCP cmdlet says to an account without the right."""
    return CmdletError(
        f"WIN32 5,{cmdlet}",
        Category.PermissionDenied,
        f"Failed to get information from DHCP server {server}.",
    )


def service_unavailable(cmdlet: str, server: str) -> CmdletError:
    """What a DHCP cmdlet says while the DHCP service of its own server is stopped."""
    return CmdletError(
        f"WIN32 1722,{cmdlet}", Category.NotSpecified, f"Failed to get information from DHCP server {server}."
    )


def module_missing(cmdlet: str) -> CmdletError:
    """What a call of a DhcpServer cmdlet says where the module is not installed."""
    message = f"The command '{cmdlet}' is in the module 'DhcpServer', but the module could not be loaded."
    return CmdletError("CouldNotAutoLoadModule", Category.ObjectNotFound, message)


def scope_absent(cmdlet: str, scope_id: str, server: str) -> CmdletError:
    """The scope does not exist (any more)."""
    message = f"Failed to get information for scope {scope_id} on DHCP server {server}."
    return dhcp_error(20005, cmdlet, Category.ObjectNotFound, message)


def outside_failover(cmdlet: str, scope_id: str, server: str) -> CmdletError:
    """The scope is in no failover relationship."""
    message = f"Failed to get failover relationship for scope {scope_id} on DHCP server {server}."
    return dhcp_error(20116, cmdlet, Category.ObjectNotFound, message)
