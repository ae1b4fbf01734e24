"""The status page in real Chromium: it updates by itself, loads nothing from elsewhere, and everybody can use it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from dhcp_failover_exporter.errors import UnreachableError
from web.picture import ROOT, chromium

pytestmark = pytest.mark.e2e

PHONE = {"width": 390, "height": 844}
# Looked at after a run; git ignores them.
SHOTS = ROOT / ".tools/screenshots"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


class Viewer:
    """A page on the exporter that notes what must not happen: errors, and requests to anywhere else."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.page: Page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.url = url
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)
        self.page.goto(url)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.wrong.append(request.url)

    def shot(self, name: str, *, full: bool = True) -> None:
        """A picture for people."""
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=full)

    def serious_faults(self) -> list[str]:
        """Contrast is measured on the first dozen pairs, the worst: all have one style sheet, and each takes its time."""
        only = {"resultTypes": ["violations"]}  # all else about 200 pairs takes longer to tell than to find
        contrast = "color-contrast"
        found = [
            *self._violations({**only, "rules": {contrast: {"enabled": False}}}),
            *self._violations({**only, "runOnly": [contrast]}, {"exclude": [["article:nth-of-type(n+13)"]]}),
        ]
        return [
            f"{fault['id']}: {node['html']}"
            for fault in found
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    def _violations(
        self, options: dict[str, Any], context: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = Axe().run(self.page, context, options).response["violations"]
        return found


def fits(viewer: Viewer) -> bool:
    """Whether nobody has to scroll sideways."""
    return bool(viewer.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.fixture
def view(browser: Browser, site: Any, serve: Any, eventually: Any) -> Iterator[Callable[..., Viewer]]:
    """Opens the page of the site, once every answering server gave everything; at the end nothing went wrong."""
    viewers: list[Viewer] = []
    urls: list[str] = []

    def open_page(path: str = "", **options: Any) -> Viewer:
        if not urls:
            urls.append(serve(site.app()))
            eventually(site.engine.ready, 60)
            answering = [name for name, machine in site.machines.items() if not machine.fault]
            eventually(lambda: all("statistics" in site.engine.entries()[n].sections for n in answering), 60)
        viewers.append(Viewer(browser, urls[0], **options))
        if path:
            viewers[-1].page.goto(urls[0] + path)
        return viewers[-1]

    yield open_page
    wrong = [what for viewer in viewers for what in viewer.wrong]
    for viewer in viewers:
        viewer.page.close()
    assert wrong == []


@pytest.mark.parametrize("interval", [1, 3])
def test_a_changed_state_appears_by_itself_within_a_poll_and_a_refresh(
    site: Any, view: Any, interval: int
) -> None:
    left, right = site.pair()
    site.interval = f"{interval}s"
    page = view().page
    expect(page.get_by_text("Normal", exact=True)).to_have_count(2)
    page.evaluate("window.loadedOnce = true")
    left.relationship["State"] = right.relationship["State"] = "CommunicationInterrupted"
    in_time = 1000 * (interval + min(interval, 5) + 1)
    expect(page.get_by_text("CommunicationInterrupted", exact=True)).to_have_count(2, timeout=in_time)
    assert page.evaluate("window.loadedOnce"), "the page was not loaded again"


def test_an_update_leaves_untouched_elements_focus_and_selection_alone(site: Any, view: Any) -> None:
    left, _ = site.pair()
    page = view().page
    page.get_by_role("link", name="lab-failover").focus()
    page.evaluate("document.querySelector('article').marked = true")
    left.relationship["State"] = "RecoverDone"
    expect(page.get_by_text("RecoverDone", exact=True)).to_be_visible(timeout=10_000)
    assert page.evaluate("document.querySelector('article').marked"), "the element was changed, not replaced"
    expect(page.get_by_role("link", name="lab-failover")).to_be_focused()


def test_worst_moves_up_and_keeps_the_focus(site: Any, view: Any) -> None:
    site.pair("a1", "a2", name="first")
    left, _ = site.pair("b1", "b2", name="second")
    page = view().page
    page.get_by_role("link", name="second").focus()
    left.relationship["State"] = "PartnerDown"
    expect(page.locator("article").first).to_contain_text("b1", timeout=10_000)
    expect(page.get_by_role("link", name="second")).to_be_focused()


def test_lost_contact_is_said_and_its_return_too(site: Any, view: Any) -> None:
    site.pair()
    viewer = view()
    contact = viewer.page.locator("#contact")
    expect(contact).to_be_empty()
    viewer.page.route(re.compile(".*"), lambda route: route.abort())
    expect(contact).to_contain_text("No contact with the exporter since", timeout=15_000)
    viewer.shot("lost")
    viewer.page.unroute_all()
    expect(contact).to_be_empty(timeout=15_000)
    viewer.wrong.clear()  # the browser's own lines about the requests that were cut off here


def test_filter_works_while_typing_and_survives_updates(site: Any, view: Any) -> None:
    site.pair("berlin1", "berlin2", name="campus")
    left, _ = site.pair("paris1", "paris2", name="tower")
    page = view().page
    page.get_by_role("searchbox").press_sequentially("tow")
    expect(page.locator("article")).to_have_count(1)
    left.relationship["State"] = "PartnerDown"
    expect(page.get_by_text("PartnerDown", exact=True)).to_be_visible(timeout=10_000)
    expect(page.locator("article")).to_have_count(1)
    assert page.url.endswith("?filter=tow")
    page.reload()
    expect(page.locator("article")).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    page.get_by_label("only problems").check()
    expect(page.locator("article")).to_have_count(1)
    page.get_by_label("only problems").uncheck()
    expect(page.locator("article")).to_have_count(2)


@pytest.mark.parametrize("look", ["wide", "phone"])
def test_hostile_names_are_shown_and_do_nothing(site: Any, view: Any, hostile: str, look: str) -> None:
    assert len(hostile) == 126
    scope_name = "<img src=x onerror=\"document.title='owned'\">".ljust(126, "n")
    # As long as a configured name may be; the partner's is no host's name, so that nobody could configure it.
    left = f"{'d' * 63}.{'l' * 56}.local"
    assert len(left) == len(scope_name) == 126
    site.pair(left, hostile, name=hostile, scope_name=scope_name)
    del site.machines[hostile]
    viewer = view(**({"viewport": PHONE} if look == "phone" else {}))
    shown = hostile.replace("\u202e", "[U+202E]").replace("\u200f", "[U+200F]")
    link = viewer.page.get_by_role("link", name=shown, exact=True)
    expect(link).to_be_visible()
    expect(viewer.page.locator(".side .server")).to_have_text([f"{left} primary", f"{shown} secondary"])
    viewer.shot(f"hostile-{look}")
    assert fits(viewer)
    assert viewer.serious_faults() == []
    link.click()
    expect(viewer.page.get_by_role("cell", name=scope_name)).to_have_count(3)
    assert "owned" not in viewer.page.title().split("·")[-1]
    viewer.shot(f"hostile-relationship-{look}")
    assert fits(viewer)
    # A table may be wider than a phone, and then scrolls by itself, but never for one name.
    assert max(viewer.page.locator("th, td").evaluate_all("cells => cells.map(it => it.offsetWidth)")) < 700
    assert viewer.serious_faults() == []


@pytest.mark.parametrize(
    "path", ["", "relationship?pair=dhcp01.lab.local|dhcp02.lab.local&name=lab-failover"]
)
def test_a_long_unknown_state_fits_a_phone(site: Any, view: Any, path: str) -> None:
    state = "WaitingForSomethingThatNoServerOfToday".ljust(60, "x")
    site.pair(states=(state, state))
    viewer = view(path, viewport=PHONE)
    expect(viewer.page.get_by_text(state, exact=True)).to_have_count(2)
    viewer.shot(f"unknown-state-{'relationship' if path else 'overview'}")
    assert fits(viewer)


def _normal(site: Any) -> None:
    site.pair(scopes=12, used=120)


def _communication_interrupted(site: Any) -> None:
    left, _ = site.pair(states=("CommunicationInterrupted", "CommunicationInterrupted"), used=170)
    left.data["ports"][0].update(Reachable=False, Error="TimedOut")


def _partner_down(site: Any) -> None:
    site.pair(states=("PartnerDown", "Recover"))


def _unreachable(site: Any) -> None:
    left, _ = site.pair()
    left.fault = UnreachableError("no connection: No route to host")


def _many(site: Any) -> None:
    site.interval = "30s"
    for number in range(200):
        states = ("PartnerDown", "Recover") if number == 133 else ("Normal", "Normal")
        site.pair(
            f"dhcp{number:03}a", f"dhcp{number:03}b", name=f"site-{number:03}", states=states, used=number
        )


SITES = {
    "normal": _normal,
    "communication-interrupted": _communication_interrupted,
    "partner-down": _partner_down,
    "server-unreachable": _unreachable,
    "200-pairs": _many,
}


@pytest.mark.parametrize("name", SITES)
def test_every_situation_fits_light_dark_and_phone_without_a_serious_fault(
    site: Any, view: Any, name: str
) -> None:
    SITES[name](site)
    for look, options in (
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": PHONE}),
    ):
        viewer = view(**options)
        viewer.shot(f"{name}-{look}", full=name != "200-pairs")
        assert fits(viewer), look
        assert viewer.serious_faults() == [], look


def test_a_refused_configuration_and_a_missed_poll_are_sound_too(site: Any, view: Any) -> None:
    site.interval = "5s"  # a missed poll comes soon, and what was told before stays fresh for 17 s
    left, _ = site.pair(states=("PartnerDown", "PartnerDown"))
    page = view().page
    left.fault = UnreachableError("no connection: No route to host")
    expect(page.get_by_text("last poll failed: unreachable")).to_be_visible(timeout=15_000)
    expect(page.locator("#refused")).to_have_count(0)
    site.write(servers=[{"name": "a" * 63, "port": "x"}])
    httpx.post(f"{page.url}-/reload")
    for look, options in (("light", {}), ("dark", {"color_scheme": "dark"}), ("phone", {"viewport": PHONE})):
        viewer = view(**options)
        expect(viewer.page.locator("#refused")).to_contain_text("old configuration")
        viewer.shot(f"refused-{look}")
        assert fits(viewer), look
        assert viewer.serious_faults() == [], look
    site.write()
    httpx.post(f"{page.url}-/reload")
    expect(page.locator("#refused")).to_have_count(0, timeout=10_000)


def test_relationship_page_is_sound_too(site: Any, view: Any) -> None:
    _, right = site.pair(name="lab", scopes=30, used=150)
    right.relationship["MaxClientLeadTime"] = 1800
    for look, options in (("light", {}), ("phone", {"viewport": PHONE})):
        viewer = view("relationship?pair=dhcp01.lab.local|dhcp02.lab.local&name=lab", **options)
        viewer.shot(f"relationship-{look}")
        assert fits(viewer), look
        assert viewer.serious_faults() == [], look


def test_everything_can_be_reached_by_keyboard(site: Any, view: Any) -> None:
    site.pair()
    page = view().page
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name")
        )
    assert reached[:4] == ["Skip to content", "filter", "problems", "lab-failover"]
    assert "metrics" in reached
