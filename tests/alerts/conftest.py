"""The programs that judge rules."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def promtool(program: Callable[[str], str]) -> str:
    return program("promtool")


@pytest.fixture(scope="session")
def amtool(program: Callable[[str], str]) -> str:
    return program("amtool")
