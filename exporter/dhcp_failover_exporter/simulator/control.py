"""The demo's control page: every host, its states, and a switch for each fault.

On loopback unless told otherwise. Knows nothing of what a fault does.
"""

import socket
import threading
from collections.abc import Mapping
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import parse_qs

from dhcp_failover_exporter.simulator.faults import FAULTS

if TYPE_CHECKING:
    from dhcp_failover_exporter.simulator.lab import Host

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width"><title>Control page of the simulated pairs</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color-scheme: light dark }}
section {{ border: 1px solid #8886; border-radius: .5rem; padding: 0 1rem 1rem; margin: 1rem 0 }}
form {{ display: inline-block; margin: .2rem }}
button {{ font: inherit; padding: .2rem .6rem; border-radius: .4rem; border: 1px solid #8888 }}
button[aria-pressed=true] {{ background: #b3261e; color: #fff }}
</style></head><body><h1>Control page</h1>
<p>Press to break, press again to mend. The states are the servers' own, as the exporter should show them.</p>
{hosts}</body></html>"""


class ControlPage:
    """Serves `GET /`, and `POST /` with server, fault and on=1 or on=0; from `with` to its end.

    Args:
        hosts: what it breaks and mends, by name.
        listening: where it serves; None for a free port on loopback. Closed at the end.
    """

    def __init__(self, hosts: Mapping[str, "Host"], listening: socket.socket | None = None) -> None:
        self._listening = listening
        self._handler = type("BoundHandler", (_Handler,), {"hosts": hosts})
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        listening = self._listening or socket.create_server(("127.0.0.1", 0))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Where it is; only while it is served."""
        assert self._server, "not served"  # noqa: S101 - a mistake of the caller
        host, port = self._server.socket.getsockname()[:2]
        everywhere = host in {"0.0.0.0", "::"}  # noqa: S104 - compares, binds nothing
        reachable = "127.0.0.1" if everywhere else f"[{host}]" if ":" in host else host
        return f"http://{reachable}:{port}/"


class _Handler(BaseHTTPRequestHandler):
    hosts: ClassVar[Mapping[str, "Host"]]

    def do_GET(self) -> None:
        self._answer(200, _PAGE.format(hosts="".join(map(_section, self.hosts.values()))))

    def do_POST(self) -> None:
        fields = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        server, fault, on = (fields.get(name, [""])[0] for name in ("server", "fault", "on"))
        if server not in self.hosts or fault not in FAULTS or on not in ("0", "1"):
            self._answer(
                400, f"server: one of {', '.join(self.hosts)}; fault: one of {', '.join(FAULTS)}; on: 0 or 1"
            )
            return
        host = self.hosts[server]
        (host.break_ if on == "1" else host.mend)(fault)
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if text.startswith("<") else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The demo's terminal belongs to the exporter's log."""


def _section(host: "Host") -> str:
    states = "".join(f"<li>{escape(name)}: <b>{escape(state)}</b></li>" for name, state in host.states())
    switches = "".join(_switch(host, name) for name in FAULTS)
    return f"<section><h2>{escape(host.name)}</h2><ul>{states}</ul>{switches}</section>"


def _switch(host: "Host", fault: str) -> str:
    on = fault in host.broken
    return (
        f'<form method="post"><input type="hidden" name="server" value="{escape(host.name)}">'
        f'<input type="hidden" name="fault" value="{fault}">'
        f'<input type="hidden" name="on" value="{int(not on)}">'
        f'<button aria-pressed="{str(on).lower()}">{escape(FAULTS[fault].title)}</button></form>'
    )
