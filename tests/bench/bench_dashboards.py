"""How long the queries of the dashboards take on a large fleet, slowest first.

    PYTHONPATH=tests .venv/bin/python tests/bench/bench_dashboards.py [pairs] [scopes] [hours] [--keep FOLDER]

200 pairs x 50 scopes over 6 h unless told (about 0.4 million series). Writes the history with the exporter's own code,
imports it into a real Prometheus, has promtool add what the shipped rules would have recorded (every 30 s), and asks each
query as Grafana would for the whole range, with the scrape interval of compose.yaml.

Every series is there over the whole range: what the fleet's dashboard asks over time (`history.OVER_TIME`) every 15 s, all
else every 60 s, as often as the exporter renews it. Records of scopes reach back as far as that dashboard asks for them
(`history.RECORDS`), so figures of the other two may be too good where they read records. Needs 20 GB of disk meanwhile,
and the better part of an hour. With --keep the history stays in FOLDER, and a second run only asks again.
Every figure is the best of three; the load of the machine is printed with them.
"""

import argparse
import contextlib
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dashboards import history
from dashboards.asking import EVERYTHING, Page
from e2e.servers import eventually, prometheus

ROOT = Path(__file__).parent.parent.parent
SCRAPE_SECONDS = 15.0
# Each block once, as a server with a sidecar keeps them: no compaction while queries are timed.
TWO_HOURS = ("--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h")


def program(name: str) -> str:
    places = os.pathsep.join([os.environ["PATH"], str(ROOT / ".tools/root/usr/bin")])
    found = shutil.which(name, path=places)
    assert found, f"{name} is missing: run tests/run, which unpacks it into .tools"
    return found


def asked(url: str, end: float, hours: float) -> list[tuple[float, int, str]]:
    """(seconds, series, which query) of every query of every dashboard."""
    found = []
    for path in sorted((ROOT / "dashboards").glob("*.json")):
        variables = history.variables(1) if "relationship" in path.stem else EVERYTHING
        page = Page(url, end, hours * 3600, variables, SCRAPE_SECONDS)
        for panel in json.loads(path.read_text())["panels"]:
            runs = [list(page.ask(panel)) for _ in range(3)]
            for answers in zip(*runs, strict=True):
                best = min(answer.seconds for answer in answers)
                name = f"{path.stem}: {panel['title']} {answers[0].ref}"
                found.append((best, len(answers[0].series), name))
    return sorted(found, reverse=True)


def load() -> str:
    return "load {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def made(folder: Path, fleet: tuple[int, int], span: history.Span) -> None:
    """The history of (pairs, scopes) in a Prometheus' folder."""
    began = time.perf_counter()
    history.imported(program("promtool"), folder, history.fleet(*fleet), span)
    scraped = time.perf_counter()
    history.recorded(program, folder, span)
    recorded = time.perf_counter()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"scrapes in {scraped - began:.0f} s, records in {recorded - scraped:.0f} s, {size / 1e6:.0f} MB")


def overlap(data: Path) -> bool:
    """Whether two blocks are about the same time: Prometheus merges such blocks, a minute after its start."""
    try:
        blocks = sorted((it["minTime"], it["maxTime"]) for it in map(_meta, data.glob("*/meta.json")))
    except FileNotFoundError:  # merged and gone since it was listed
        return True
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(blocks))


def _meta(path: Path) -> dict[str, int]:
    meta: dict[str, int] = json.loads(path.read_text())
    return meta


def measured(folder: Path, span: history.Span) -> None:
    with prometheus(program("prometheus"), folder, {}, *TWO_HOURS) as running:
        eventually(lambda: not overlap(folder / "data"), 3600, "Prometheus has merged records and scrapes")
        series = running.value(f"count({{job='{history.JOB}'}} @ {span.end})")
        print(f"{series:.0f} series of scrapes at the end; {load()}")
        for seconds, count, name in asked(running.url, span.end, span.hours):
            print(f"{seconds * 1000:8.0f} ms {count:6} series  {name}")
        print(load())


@contextlib.contextmanager
def place(keep: Path | None) -> Iterator[Path]:
    if keep:
        yield keep
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def main(pairs: int, scopes: int, hours: float, keep: Path | None) -> None:
    print(f"{pairs} pairs x {scopes} scopes, {hours:g} h", flush=True)
    with place(keep) as folder:
        end = folder / "end"
        if not end.exists():
            now = time.time()
            made(folder, (pairs, scopes), history.Span(now, hours, step=SCRAPE_SECONDS, whole_step=60))
            end.write_text(str(now))
        measured(folder, history.Span(float(end.read_text()), hours))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=int, nargs="?", default=200)
    parser.add_argument("scopes", type=int, nargs="?", default=50)
    parser.add_argument("hours", type=float, nargs="?", default=6.0)
    parser.add_argument("--keep", type=Path)
    main(**vars(parser.parse_args()))
