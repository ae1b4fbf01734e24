"""The listening socket and the HTTP server on it: hypercorn, set so that no client can hold it up.

Knows nothing of what is served. What hypercorn's settings were measured to do (0.18): a client that is idle,
sends half a request or drips one is closed after 5 s, HTTP/1 and HTTP/2 alike; an answer that takes longer
than that is still delivered. One that stops reading is beyond hypercorn: the kernel closes it.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

CLIENT_TIMEOUT_SECONDS = 5
# What answers in flight may still take after SIGTERM; sessions on DHCP servers need their share of the 5 s.
GRACEFUL_SECONDS = 1.0
HIGHEST_PORT = 65535


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `:9647`, `127.0.0.1:0` or `[::1]:9647`; the empty host is every address.

    Raises:
        ValueError: with a sentence for the user.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > HIGHEST_PORT or (":" in host and not bracketed):
        raise ValueError(f"{address!r} is no listen address: write :9647, 127.0.0.1:9647 or [::1]:9647")
    return host.strip("[]"), int(port)


def listen(address: str) -> socket.socket:
    """A listening socket; `:PORT` and `[::]:PORT` take IPv4 as well wherever the kernel has IPv6.

    Raises:
        ValueError: as `parse_address`.
        OSError: the address is in use or not this machine's.
    """
    host, port = parse_address(address)
    everywhere = host in ("", "::") and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, dualstack_ipv6=everywhere)
    if sys.platform == "linux":
        # Inherited by every connection: one that takes no data for so long is closed by the kernel (tcp(7)).
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CLIENT_TIMEOUT_SECONDS * 1000)
    return listening


def url_of(listening: socket.socket) -> str:
    """Where a browser on this machine reaches the socket."""
    host, port = listening.getsockname()[:2]
    reachable = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)  # noqa: S104 compares, binds nothing
    return f"http://[{reachable}]:{port}/" if ":" in reachable else f"http://{reachable}:{port}/"


async def serve(app: ASGIApp, listening: socket.socket, until: Callable[[], Awaitable[Any]]) -> None:
    """Serve `app` until `until()` returns; then answers in flight get `GRACEFUL_SECONDS`."""
    asyncio.get_running_loop().set_exception_handler(_note_lost_connection)
    # hypercorn's types want its own ASGI declarations, which describe the same calls.
    served = _without_lost_clients(app)
    await hypercorn_serve(served, _settings(listening), shutdown_trigger=until)  # type: ignore[arg-type]


def _settings(listening: socket.socket) -> Config:
    config = Config()
    # A copy, because hypercorn closes what it is given.
    config.bind = [f"fd://{listening.dup().detach()}"]
    config.read_timeout = CLIENT_TIMEOUT_SECONDS
    config.keep_alive_timeout = CLIENT_TIMEOUT_SECONDS
    config.graceful_timeout = GRACEFUL_SECONDS
    # A bounded queue that fills with a body nobody reads blocks the connection for ever.
    config.max_app_queue_size = 0
    config.include_server_header = False
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


def _without_lost_clients(app: ASGIApp) -> ASGIApp:
    """The application, for which a client that went away in mid-answer is no error of its own."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_forget(message: Message) -> None:
            try:
                await send(message)
            except OSError as error:
                log.debug("connection lost", error=str(error))

        await app(scope, receive, send_or_forget)

    return served


def _note_lost_connection(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A client that went away is no fault of ours; hypercorn lets its OSError escape."""
    if isinstance(context.get("exception"), OSError):
        log.debug("connection lost", error=str(context["exception"]))
    else:
        loop.default_exception_handler(context)
