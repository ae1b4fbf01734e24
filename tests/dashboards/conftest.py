"""The dashboards as Grafana reads them."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent

FILES = sorted((ROOT / "dashboards").glob("*.json"))


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`dashboard`: each one. `panel`: each panel of each; with `of`, also the uid of its dashboard."""
    loaded = {file.stem: json.loads(file.read_text()) for file in FILES}
    if "panel" in metafunc.fixturenames:
        found = [(uid, panel) for uid, dashboard in loaded.items() for panel in panels(dashboard)]
        names = [f"{uid}: {panel['title']}" for uid, panel in found]
        if "of" in metafunc.fixturenames:
            metafunc.parametrize(("of", "panel"), found, ids=names)
        else:
            metafunc.parametrize("panel", [panel for _, panel in found], ids=names)
    elif "dashboard" in metafunc.fixturenames:
        metafunc.parametrize("dashboard", loaded.values(), ids=loaded)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
