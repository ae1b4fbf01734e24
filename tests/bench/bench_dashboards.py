"""How long the queries of the dashboards take on a large fleet, slowest first.

    .venv/bin/python tests/bench/bench_dashboards.py [pairs] [scopes] [hours]

200 pairs x 50 scopes over 6 h unless told (about 0.4 million series). Writes the history with the exporter's own code,
imports it into a real Prometheus and asks each query as Grafana would for the whole range. To spare time and disk only what
the fleet's dashboard asks over time (`history.OVER_TIME`) is there every 60 s of the whole range; all else every 120 s of
the last hour, further back than which no query of that dashboard looks. Needs 5 GB of disk.
Every figure is the best of three.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from dashboards import history  # noqa: E402 (found by the line above)
from dashboards.asking import EVERYTHING, Page, of_pair  # noqa: E402
from e2e.servers import prometheus  # noqa: E402


def program(name: str) -> str:
    places = os.pathsep.join([os.environ["PATH"], str(ROOT / ".tools/root/usr/bin")])
    found = shutil.which(name, path=places)
    assert found, f"{name} is missing: run tests/run, which unpacks it into .tools"
    return found


def asked(url: str, end: float, hours: float) -> list[tuple[float, int, str]]:
    """(seconds, series, which query) of every query of every dashboard."""
    found = []
    for path in sorted((ROOT / "dashboards").glob("*.json")):
        variables = of_pair(1) if "relationship" in path.stem else EVERYTHING
        page = Page(url, end, hours * 3600, variables)
        for panel in json.loads(path.read_text())["panels"]:
            runs = [list(page.ask(panel)) for _ in range(3)]
            for answers in zip(*runs, strict=True):
                best = min(answer.seconds for answer in answers)
                name = f"{path.stem}: {panel['title']} {answers[0].ref}"
                found.append((best, len(answers[0].series), name))
    return sorted(found, reverse=True)


def main(pairs: int, scopes: int, hours: float) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder, end, began = Path(temporary), time.time(), time.perf_counter()
        fleet = history.fleet(pairs, scopes)
        history.imported(
            program("promtool"), folder, fleet, history.Span(end, hours, whole_step=120, whole_hours=1)
        )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(
            f"{pairs} pairs x {scopes} scopes, {hours:g} h: made in {time.perf_counter() - began:.0f} s, {size / 1e6:.0f} MB of blocks"
        )
        with prometheus(program("prometheus"), folder, {}) as running:
            series = running.value(f"count({{job='{history.JOB}'}} @ {end})")
            print(f"{series:.0f} series at the end")
            for seconds, count, name in asked(running.url, end, hours):
                print(f"{seconds * 1000:8.0f} ms {count:6} series  {name}")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 200,
        int(sys.argv[2]) if len(sys.argv) > 2 else 50,
        float(sys.argv[3]) if len(sys.argv) > 3 else 6.0,
    )
