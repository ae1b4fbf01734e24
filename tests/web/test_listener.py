"""The listening socket, and clients that would hold the server up if they could."""

import asyncio
import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dhcp_failover_exporter.web import listener

CLOSED_WITHIN_SECONDS = 8.0
ESTABLISHED = "01"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":9647", ("", 9647)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::]:9647", ("::", 9647)),
        ("[::1]:9647", ("::1", 9647)),
        ("localhost:9647", ("localhost", 9647)),
    ],
)
def test_addresses_as_prometheus_programs_take_them(address: Any, expected: Any) -> None:
    assert listener.parse_address(address) == expected


@pytest.mark.parametrize("address", ["", "9647", "host", "::1:9647", ":port", ":65536", "host:-1", ":"])
def test_other_addresses_are_refused_with_a_sentence(address: Any) -> None:
    with pytest.raises(ValueError, match="no listen address: write :9647"):
        listener.parse_address(address)


@given(st.text())
def test_no_address_is_any_other_error(address: Any) -> None:
    try:
        host, port = listener.parse_address(address)
    except ValueError:
        return
    assert isinstance(host, str)
    assert 0 <= port <= 65535


@pytest.mark.wire
@pytest.mark.parametrize("address", [":0", "[::]:0"])
def test_every_address_takes_both_families(address: Any) -> None:
    with listener.listen(address) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            socket.create_connection((host, port), 2).close()
        assert listener.url_of(listening) == f"http://localhost:{port}/"


@pytest.mark.wire
def test_url_shows_the_port_that_was_taken() -> None:
    with listener.listen("127.0.0.1:0") as listening:
        assert listener.url_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}/"
    with listener.listen("[::1]:0") as listening:
        assert listener.url_of(listening) == f"http://[::1]:{listening.getsockname()[1]}/"


# --- clients that do not play along -----------------------------------------------------------------------

HOST = b"Host: exporter\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
BIG = b"GET /big HTTP/1.1\r\n" + HOST + b"\r\n"
SLOW_WITH_BODY = b"GET /slow HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def _small(_request: Any) -> Any:
    return PlainTextResponse("here")


async def _big(_request: Any) -> Any:
    return PlainTextResponse("x" * 50_000_000)


async def _slow(_request: Any) -> Any:
    await asyncio.sleep(4)
    return PlainTextResponse("here, after more pieces of the body than hypercorn would queue")


@pytest.fixture
def address(serve: Any) -> Any:
    app = Starlette(routes=[Route("/", _small), Route("/big", _big), Route("/slow", _slow)])
    url = httpx.URL(serve(app))
    return url.host, url.port


def seconds_until_closed(
    address: tuple[str, int], sent: bytes, drip: bytes = b"", *, read: bool = True
) -> float:
    """How long the server keeps the connection of a client that sends this, then drips, and reads or not."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(address)
        client.settimeout(0.25)
        started = time.monotonic()
        with contextlib.suppress(OSError):
            client.sendall(sent)
            while _kept(client) and time.monotonic() - started < 2 * CLOSED_WITHIN_SECONDS:
                client.sendall(drip)
                _waited(client, read=read)
    return time.monotonic() - started


def _waited(client: socket.socket, *, read: bool) -> None:
    if not read:
        time.sleep(0.25)
        return
    with contextlib.suppress(TimeoutError):
        if not client.recv(65536):
            raise ConnectionResetError


def _kept(client: socket.socket) -> bool:
    """Whether the server's end still exists (proc(5), /proc/net/tcp); the kernel drops it without a word."""
    ends = [f":{end[1]:04X}" for end in (client.getpeername(), client.getsockname())]
    rows = (row.split()[1:4] for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(
        row[0].endswith(ends[0]) and row[1].endswith(ends[1]) and row[2] == ESTABLISHED for row in rows
    )


@pytest.mark.wire
def test_clients_that_do_not_play_along_are_closed_and_hold_up_nobody(address: Any) -> None:
    """All at once, while others are served; each is gone within seconds."""
    cases = {
        "idle": (b"",),
        "half-sent": (b"GET / HT",),
        "dripping a header": (GET, b"X"),
        "idle after an answer": (GET + b"\r\n",),
        "half-sent after an answer": (GET + b"\r\nGET",),
        "idle HTTP/2": (HTTP2,),
        "dripping a body": (SLOW_WITH_BODY, b"x"),
    }
    with ThreadPoolExecutor(len(cases) + 1) as pool:
        running = {name: pool.submit(seconds_until_closed, address, *args) for name, args in cases.items()}
        running["not reading"] = pool.submit(seconds_until_closed, address, BIG, read=False)
        latencies = []
        while not all(result.done() for result in running.values()):
            started = time.monotonic()
            assert httpx.get(f"http://{address[0]}:{address[1]}/").text == "here"
            latencies.append(time.monotonic() - started)
            time.sleep(0.05)
    seconds = {name: result.result() for name, result in running.items()}
    assert {name: taken for name, taken in seconds.items() if taken > CLOSED_WITHIN_SECONDS} == {}
    assert max(latencies) < 1.0
