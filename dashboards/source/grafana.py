"""Grafana's dashboard JSON, as far as these dashboards use it.

What lives here: variables, panels, value mappings and the page around them, in the schema that Grafana 10.4
wrote and that 12 still reads. What this file does not know: what is shown, and PromQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

# Grafana 10.4 writes 39. A newer Grafana migrates it on load; an older number would migrate twice.
SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}

FLEET: Final = "dhcp-failover-fleet"
RELATIONSHIP: Final = "dhcp-failover-relationship"
EXPORTER: Final = "dhcp-failover-exporter"
TAG: Final = "dhcp-failover"

# The base of every alert's runbook_url in alerts/dhcp-failover.rules.yml.
RUNBOOKS: Final = "https://runbooks.example.com/dhcp-failover/"


# --- queries ----------------------------------------------------------------------------------------------


def now(expr: str) -> Json:
    """The query's value at the end of the time range, as a table."""
    return {"expr": expr, "format": "table", "instant": True, "range": False}


def number(expr: str, legend: str = "__auto") -> Json:
    """The query's value at the end of the time range, one number per series."""
    return {
        "expr": expr,
        "format": "time_series",
        "instant": True,
        "range": False,
        "legendFormat": legend,
    }


def history(expr: str, legend: str) -> Json:
    """The query over the time range."""
    return {
        "expr": expr,
        "format": "time_series",
        "instant": False,
        "range": True,
        "legendFormat": legend,
    }


def _targets(queries: Sequence[Json]) -> list[Json]:
    return [
        {"datasource": DATASOURCE, "editorMode": "code", "refId": chr(ord("A") + place), **query}
        for place, query in enumerate(queries)
    ]


# --- how values look --------------------------------------------------------------------------------------


def words(mapping: Mapping[int, tuple[str, str]]) -> Json:
    """Numbers shown as (text, colour)."""
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(mapping.items())
    }
    return {"type": "value", "options": options}


def without_value(text: str, color: str = "text") -> Json:
    """What stands where there is no value."""
    return {"type": "special", "options": {"match": "null", "result": {"text": text, "color": color}}}


def steps(base: str, *above: tuple[float, str]) -> Json:
    """Thresholds: the colour below the first, then (from this value on, colour)."""
    first: Json = {"color": base, "value": None}
    return {"mode": "absolute", "steps": [first, *({"color": color, "value": at} for at, color in above)]}


NEUTRAL: Final = steps("text")
NONE_IS_GOOD: Final = steps("green", (1, "red"))

# States as `State` of Get-DhcpServerv4Failover spells them, numbered as FSM_STATE is.
# Green: as it should be. Blue: passes by itself. Orange: one more failure is an outage. Red: act now.
STATES: Final[Mapping[str, tuple[int, str]]] = {
    "NoState": (0, "semi-dark-orange"),
    "Init": (1, "light-blue"),
    "Startup": (2, "light-blue"),
    "Normal": (3, "green"),
    "CommunicationInterrupted": (4, "orange"),
    "PartnerDown": (5, "red"),
    "PotentialConflict": (6, "dark-red"),
    "ConflictDone": (7, "light-blue"),
    "ResolutionInterrupted": (8, "dark-red"),
    "Recover": (9, "blue"),
    "RecoverWait": (10, "semi-dark-blue"),
    "RecoverDone": (11, "light-blue"),
}
UNKNOWN_STATE: Final = 99
NO_ANSWER: Final = without_value("no answer", "semi-dark-purple")
STATE_MAPPINGS: Final = [
    words(
        {code: (state, color) for state, (code, color) in STATES.items()}
        | {UNKNOWN_STATE: ("unknown", "purple")}
    ),
    NO_ANSWER,
]
CLOSED_OPEN: Final = words({0: ("closed", "red"), 1: ("open", "green")})


@dataclass(frozen=True)
class Look:
    """How the values of a panel, or of one column of a table, are shown."""

    unit: str = "none"
    thresholds: Json = field(default_factory=lambda: NEUTRAL)
    mappings: Sequence[Json] = ()
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    no_value: str | None = None

    def config(self) -> Json:
        """As Grafana's field configuration."""
        optional = {
            "decimals": self.decimals,
            "min": self.minimum,
            "max": self.maximum,
            "noValue": self.no_value,
        }
        return {
            "unit": self.unit,
            "thresholds": self.thresholds,
            "mappings": list(self.mappings),
            "color": {"mode": "thresholds"},
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        source: the label, or `Value #A` for the value of the first query.
        title: its heading.
        look: of its values; None for labels.
        colored: the cell takes the value's colour.
        link: where a click on the cell leads.
        width: pixels, None for what is left.
    """

    source: str
    title: str
    look: Look | None = None
    colored: bool = False
    link: Json | None = None
    width: int | None = None

    def override(self) -> Json:
        """As Grafana's field override."""
        return {"matcher": {"id": "byName", "options": self.title}, "properties": list(self._properties())}

    def _properties(self) -> Iterable[Json]:
        for name, value in (self.look.config() if self.look else {}).items():
            yield {"id": name, "value": value}
        if self.colored:
            yield {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}}
        if self.link:
            yield {"id": "links", "value": [self.link]}
        if self.width:
            yield {"id": "custom.width", "value": self.width}


# --- links ------------------------------------------------------------------------------------------------


def link(title: str, url: str, *, new_tab: bool = False) -> Json:
    """A link on a value or a panel."""
    return {"title": title, "url": url, "targetBlank": new_tab}


def to_relationship(pair: str, relationship: str | None = None) -> Json:
    """From a table's row to the dashboard of its pair; the arguments are column titles."""
    chosen = f"&var-pair=${{__data.fields.{pair}:percentencode}}"
    if relationship:
        chosen += f"&var-relationship=${{__data.fields.{relationship}:percentencode}}"
    url = f"/d/{RELATIONSHIP}?${{datasource:queryparam}}&${{job:queryparam}}&${{__url_time_range}}{chosen}"
    return link("Show this pair", url)


def runbook(alert: str) -> str:
    """The address of an alert's runbook."""
    return f"{RUNBOOKS}{alert}.md"


def runbook_of_row(alert: str) -> Json:
    """From a table's row to the runbook of its alert; the argument is a column title."""
    return link("Runbook", runbook(f"${{__data.fields.{alert}}}"), new_tab=True)


def _to_dashboard(uid: str, title: str) -> Json:
    """Explicit, not by tag: `includeVars` would hand on a choice that the other dashboard does not offer.

    The dashboard about one pair has no All to show: it begins with its first pair.
    """
    return {
        "title": title,
        "type": "link",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": f"DHCP failover: {title.lower()}",
        "url": f"/d/{uid}?${{datasource:queryparam}}&${{job:queryparam}}",
    }


def _dashboard_links(here: str) -> list[Json]:
    titles = {FLEET: "Fleet", RELATIONSHIP: "Relationship", EXPORTER: "Exporter"}
    others = [_to_dashboard(uid, title) for uid, title in titles.items() if uid != here]
    runbooks: Json = {
        **others[0],
        "title": "Runbooks",
        "keepTime": False,
        "targetBlank": True,
        "icon": "doc",
        "tooltip": "What each alert means and what to do",
        "url": RUNBOOKS,
    }
    return [*others, runbooks]


# --- panels -----------------------------------------------------------------------------------------------


def _panel(kind: str, title: str, description: str, queries: Sequence[Json], look: Look) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": _targets(queries),
        "fieldConfig": {"defaults": look.config(), "overrides": []},
    }


def stat(title: str, description: str, *queries: Json, look: Look, names: bool = False) -> Json:
    """One number, or with `names` one per series."""
    panel = _panel("stat", title, description, queries, look)
    panel["options"] = {
        "colorMode": "background" if look.thresholds != NEUTRAL or look.mappings else "none",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value_and_name" if names else "value",
        "wideLayout": True,
    }
    return panel


def lines(
    title: str, description: str, *queries: Json, look: Look, stacked: bool = False, points: int = 300
) -> Json:
    """Lines over time, with the last and the largest value in the legend.

    300 points are 72 s a step of 6 h. One for every pixel, Grafana's default, costs a large fleet seconds.
    """
    panel = _panel("timeseries", title, description, queries, look)
    marked = look.thresholds != NEUTRAL
    panel["fieldConfig"]["defaults"] |= {
        "color": {"mode": "palette-classic"},
        "custom": {
            "drawStyle": "line",
            "fillOpacity": 25 if stacked else 5,
            "lineWidth": 1,
            "showPoints": "never",
            # A gap is a server that said nothing: it must not be drawn over.
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
            "thresholdsStyle": {"mode": "dashed" if marked else "off"},
        },
    }
    panel["options"] = {
        "legend": {
            "calcs": ["lastNotNull", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel["maxDataPoints"] = points
    return panel


def timeline(title: str, description: str, *queries: Json, look: Look) -> Json:
    """One row per series, coloured by value; short values may hide between the points of a long range."""
    panel = _panel("state-timeline", title, description, queries, look)
    panel["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    panel["options"] = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    # 6 h at 144 s a step. Bounds what 12 one-hot series per row cost Prometheus.
    panel["maxDataPoints"] = 150
    return panel


def table(
    title: str,
    description: str,
    *queries: Json,
    columns: Sequence[Column],
    sort: tuple[str, bool] | None = None,
    no_value: str = "-",
) -> Json:
    """Rows that share their labels become one; `sort` is (column title, descending)."""
    panel = _panel("table", title, description, queries, Look(no_value=no_value))
    panel["fieldConfig"]["defaults"]["custom"] = {
        "align": "auto",
        "cellOptions": {"type": "auto"},
        "inspect": False,
    }
    panel["fieldConfig"]["overrides"] = [column.override() for column in columns]
    panel["options"] = {
        "cellHeight": "sm",
        "footer": {"countRows": False, "fields": "", "reducer": ["sum"], "show": False},
        "showHeader": True,
        "sortBy": [{"displayName": sort[0], "desc": sort[1]}] if sort else [],
    }
    panel["transformations"] = _columns(columns, merged=len(queries) > 1)
    return panel


def _columns(columns: Sequence[Column], *, merged: bool) -> list[Json]:
    """Join the queries' rows by their common labels, keep the columns asked for, in this order."""
    one_query = {} if merged else {"Value #A": "Value"}
    sources = [one_query.get(column.source, column.source) for column in columns]
    titles = [column.title for column in columns]
    kept: Json = {"id": "filterFieldsByName", "options": {"include": {"names": sources}}}
    ordered: Json = {
        "id": "organize",
        "options": {
            "excludeByName": {},
            "includeByName": {},
            "indexByName": {source: place for place, source in enumerate(sources)},
            "renameByName": dict(zip(sources, titles, strict=True)),
        },
    }
    return [*([{"id": "merge", "options": {}}] if merged else []), kept, ordered]


def text(title: str, description: str, markdown: str) -> Json:
    """Text in Markdown."""
    return {
        "type": "text",
        "title": title,
        "description": description,
        "options": {
            "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False},
            "content": markdown,
            "mode": "markdown",
        },
    }


# --- variables --------------------------------------------------------------------------------------------


def datasource() -> Json:
    """The Prometheus to ask."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "regex": "",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "current": {},
        "refresh": 1,
        "skipUrlSync": False,
    }


def choice(name: str, label: str, query: str, *, several: bool = True, all_value: str | None = ".+") -> Json:
    """Values of a label, as they were in the time range.

    `several` offers All, which stands for `all_value`, or where that is None for the values that are offered.
    """
    everything: Json = {"text": "All", "value": "$__all"}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        # 1: label values.
        "query": {"qryType": 1, "query": query, "refId": f"variable-{name}"},
        "regex": "",
        "hide": 0,
        "includeAll": several,
        "multi": several,
        "options": [],
        "current": everything if several else {},
        # 2: when the time range changes.
        "refresh": 2,
        "skipUrlSync": False,
        # 1: by name.
        "sort": 1,
        **({"allValue": all_value} if several and all_value else {}),
    }


# --- the page ---------------------------------------------------------------------------------------------


def row(title: str) -> Json:
    """A heading; the panels below belong to it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


@dataclass(frozen=True)
class Shelf:
    """Panels side by side, as wide as the page when they share it evenly."""

    height: int
    panels: Sequence[Json]
    widths: Sequence[int] = ()


def dashboard(
    uid: str, title: str, description: str, variables: Sequence[Json], shelves: Sequence[Shelf]
) -> Json:
    """The whole dashboard."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "timepicker": {},
        "annotations": {"list": []},
        "links": _dashboard_links(uid),
        "templating": {"list": list(variables)},
        "panels": _laid_out(shelves),
    }


def _laid_out(shelves: Sequence[Shelf]) -> list[Json]:
    panels: list[Json] = []
    y = 0
    for shelf in shelves:
        x = 0
        widths = shelf.widths or [COLUMNS // len(shelf.panels)] * len(shelf.panels)
        for panel, width in zip(shelf.panels, widths, strict=True):
            place = {"x": x, "y": y, "w": width, "h": shelf.height}
            panels.append({**panel, "id": len(panels) + 1, "gridPos": place})
            x += width
        y += shelf.height
    return panels
