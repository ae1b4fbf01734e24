"""Takes the README's picture of the status page.

    python tests/web/picture.py                    # takes some two minutes

The picture remembers what it shows, so that a test can tell when the page looks different by now.
"""

import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "dashboards/status-page.png"
WEB = ROOT / "exporter/dhcp_failover_exporter/web"
DEMO = [str(Path(sys.executable).with_name("dhcp-failover-exporter")), "--log.level=error", "demo"]
# A pair that lost a server, and then one that lost its link because of a rule: with what each is to show.
FAULTS = {
    ("dhcp03.lab.local", "host_down"): ("PartnerDown",),
    ("dhcp02.lab.local", "firewall_rule_off"): (
        "The primary cannot reach TCP 647",
        "is off there",
        "CommunicationInterrupted",
    ),
}

# The rest keeps Chromium from calling its maker, which a closed network answers slowly.
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium(playwright: Playwright) -> Browser:
    """Debian's."""
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)


def look() -> str:
    """A digest of all that decides how the page looks."""
    digest = sha256()
    for file in sorted([*WEB.glob("templates/*.html"), *WEB.glob("static/*.css")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def marked(png: bytes, of: str) -> bytes:
    """With the digest in a tEXt chunk before the last chunk, IEND, which is always 12 bytes long."""
    chunk = b"tEXtLook\0" + of.encode()
    length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return png[:-12] + length + chunk + checksum + png[-12:]


def mark(png: bytes) -> str | None:
    """The digest in a picture."""
    found = re.search(rb"tEXtLook\0([0-9a-f]{64})", png)
    return found[1].decode() if found else None


@contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """The addresses of its status page and of its control page."""
    flags = ["--web.listen-address=127.0.0.1:0", "--control.listen-address=127.0.0.1:0"]
    with subprocess.Popen([*DEMO, *flags], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            lines = iter(running.stdout.readline, "")
            addresses = (line.split()[-1] for line in lines if re.match(r"  (status|control) page ", line))
            yield next(addresses), next(addresses)
        finally:
            running.terminate()


def take() -> bytes:
    """The page of the demo once it tells of both faults, and why."""
    with demo() as (url, control), sync_playwright() as playwright:
        page = chromium(playwright).new_page(viewport={"width": 1280, "height": 720})
        page.goto(url)
        expect(page.get_by_text("Normal", exact=True)).to_have_count(4, timeout=60_000)
        for (server, fault), shown in FAULTS.items():
            httpx.post(control, data={"server": server, "fault": fault, "on": "1"})
            for words in shown:
                expect(page.get_by_text(words).first).to_be_visible(timeout=180_000)
        return page.screenshot(full_page=True)


if __name__ == "__main__":
    PICTURE.write_bytes(marked(take(), look()))
