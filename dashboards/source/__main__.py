"""Writes the dashboards: `python -m dashboards.source [FOLDER]`, by default beside this package."""

import json
import sys
from pathlib import Path

from . import exporter, fleet, relationship
from .grafana import Json


def written(dashboard: Json) -> str:
    """The one form in which a dashboard is kept: sorted keys, two spaces, a newline at the end."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Write one file per dashboard, named by its uid."""
    for dashboard in (fleet.DASHBOARD, relationship.DASHBOARD, exporter.DASHBOARD):
        (folder / f"{dashboard['uid']}.json").write_text(written(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent)
