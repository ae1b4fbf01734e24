"""The README's demo at its own pace, in the Prometheus of the compose file, with an incident in it."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import yaml

from e2e.servers import HTTP, Exporter, Prometheus, eventually, prometheus, started

ROOT: Final = Path(__file__).parents[2]
SCRAPE_SECONDS: Final = 15.0
PAIRS: Final = {
    "dhcp01.lab.local|dhcp02.lab.local": "dhcp01-dhcp02",
    "dhcp03.lab.local|dhcp04.lab.local": "dhcp03-dhcp04",
}
VICTIM, PARTNER = "dhcp02.lab.local", "dhcp01.lab.local"


@dataclass(frozen=True)
class Demo:
    """The running demo and who scrapes it, since an epoch second."""

    exporter: Exporter
    prometheus: Prometheus
    began: float

    def suffer(self) -> None:
        """A host goes down, its partner takes over, the host comes back and waits for its MCLT."""
        eventually(lambda: self._states(PARTNER) == {"Normal"}, 60, "two scrapes of a healthy pair")
        self._switch("host_down", on=True)
        eventually(lambda: self._states(PARTNER) == {"PartnerDown"}, 120, "the partner takes over")
        self._switch("host_down", on=False)
        self.exporter.ask_now(VICTIM)
        eventually(lambda: self._states(VICTIM) == {"RecoverWait"}, 75, "the host waits for its MCLT")

    def scraped_seconds(self) -> float:
        """For how long it was scraped with success."""
        return SCRAPE_SECONDS * (self.prometheus.value("sum_over_time(up[1h])") or 0)

    def _states(self, server: str) -> set[str]:
        """Those that Prometheus has seen in both of the last two scrapes."""
        seen = f'sum_over_time(dhcp_failover_state{{server="{server}"}}[{1.9 * SCRAPE_SECONDS:.0f}s]) == 2'
        return {state for (state,) in self.prometheus.values(seen, "state")}

    def _switch(self, fault: str, *, on: bool) -> None:
        """As somebody presses the button on the control page."""
        control = re.search(r"control page (\S+)", self.exporter.logged())
        assert control, self.exporter.logged()
        pressed = {"server": VICTIM, "fault": fault, "on": str(int(on))}
        assert HTTP.post(control[1], data=pressed, timeout=10).status_code == httpx.codes.SEE_OTHER


@contextlib.contextmanager
def demo(prometheus_program: str, folder: Path) -> Iterator[Demo]:
    """Run both until the end of the block: configuration and rules as shipped, nothing faster."""
    configuration = yaml.safe_load((ROOT / "dashboards/prometheus.yml").read_text())
    assert configuration["global"]["scrape_interval"] == f"{SCRAPE_SECONDS:.0f}s"
    with started(["demo"], folder) as exporter:
        configuration["rule_files"] = [str(ROOT / "alerts" / it) for it in configuration["rule_files"]]
        del configuration["alerting"]
        (job,) = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [httpx.URL(exporter.url).netloc.decode()]}]
        began = time.time()
        with prometheus(prometheus_program, folder / "prometheus", configuration) as asked:
            yield Demo(exporter, asked, began)
