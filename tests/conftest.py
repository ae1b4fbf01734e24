"""What all tests share: unit tests open no sockets, and the real programs are found where `tests/run` unpacked them."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes on a shared processor says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def no_sockets_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that reaches for the network fails instead of being slow, or green by luck."""
    if any(request.node.get_closest_marker(name) for name in ("static", "wire", "e2e")):
        return

    def refuse(*_: object) -> None:
        pytest.fail("a unit test opened a socket: mark it wire, or use the session port")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """The path of a real program (prometheus, promtool, ...); a missing one fails the test rather than skip it."""
    places = os.pathsep.join(
        [os.environ["PATH"], *(str(ROOT / ".tools/root/usr" / d) for d in ("bin", "sbin"))]
    )

    def find(name: str) -> str:
        path = shutil.which(name, path=places)
        assert path, f"{name} is missing: run tests/run, which unpacks it into .tools"
        return path

    return find
