"""The dashboards in the types of the oldest and the newest Grafana: nothing that we write is unknown to either."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.static

# Versions of grafana-foundation-sdk that carry the types of that Grafana. Without a pin pip takes 10.1's, whose epoch
# sorts above the newer numbering; 0.0.21 carries the types of 12.
VERSIONS = {"10.4": "1769699796!10.4.0", "12": "0.0.21"}

# Runs in the throwaway environment: dashboards on stdin, the same through the SDK's types on stdout.
THROUGH_TYPES = """
import json, sys
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
plugins.register_default_plugins()
print(json.dumps([Dashboard.from_json(it) for it in json.load(sys.stdin)], cls=JSONEncoder))
"""


def lost(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where something of ours did not come back; what they add are defaults of theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            found
            for key, value in ours.items()
            for found in (lost(value, theirs[key], f"{path}.{key}") if key in theirs else [f"{path}.{key}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            found
            for place, pair in enumerate(zip(ours, theirs, strict=True))
            for found in lost(*pair, f"{path}[{place}]")
        ]
    return [] if ours == theirs else [path]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("grafana", VERSIONS)
def test_nothing_is_lost_in_the_types_of(grafana: str, root: Path, tmp_path: Path) -> None:
    dashboards = [json.loads(path.read_text()) for path in sorted((root / "dashboards").glob("*.json"))]
    # The types load garbage without complaint: what proves the check is that garbage does not come back.
    spoilt = json.loads(json.dumps(dashboards[0])) | {"titel": "?"}
    spoilt["panels"][0]["options"]["colourMode"] = "?"
    python = str(tmp_path / "environment/bin/python")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "environment"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, f"grafana-foundation-sdk=={VERSIONS[grafana]}"], check=True)
    returned = subprocess.run(
        [python, "-c", THROUGH_TYPES],
        input=json.dumps([*dashboards, spoilt]),
        capture_output=True,
        text=True,
        check=True,
    )
    *through, through_spoilt = json.loads(returned.stdout)
    assert sorted(lost(spoilt, through_spoilt)) == [".panels[0].options.colourMode", ".titel"]
    assert {it["uid"]: lost(it, back) for it, back in zip(dashboards, through, strict=True)} == {
        it["uid"]: [] for it in dashboards
    }
