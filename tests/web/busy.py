"""The dashboard beside many queues, many dead letters and much traffic: what it costs, and how soon it answers."""

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, sync_playwright

from relay_server.gateway.pages.static import FOLDER
from tests.support.browser import chromium
from tests.support.fleet import Sheet
from tests.web.conftest import SCREENSHOTS
from tests.web.load import Meter, fill, load, read_stream
from tests.web.stack import WITHIN_S, Stack, open_stack
from tests.web.stopwatch import seen, until_shown, watch
from tests.web.test_looks import AXE, violations

_LOADED = 10  # queues that have traffic
_SCRIPT_BYTES_MAX = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Queues, dead letters in one of them, jobs a second over ten of them, and seconds of watching.

    `click_ms` and `task_ms` are what a click and a task of the page may take at most.
    """

    queues: int
    dead: int
    rate: int
    seconds: int
    click_ms: int = 1500
    task_ms: int = 500


def busy(size: Size) -> bool:
    """Prints the figures; whether the page stayed usable."""
    sheet = Sheet(
        f"{size.queues} queues, {size.dead} dead letters, {size.rate} jobs/s, and a page open beside them"
    )
    names = [f"busy-{number:03}" for number in range(size.queues)]
    with open_stack() as stack, sync_playwright() as playwright:
        fill(stack, names, names[-1], size.dead)
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(WITHIN_S * 1000)
        with load(stack, names[:_LOADED], size.rate):
            whole = Meter(stack)
            _watched(sheet, stack, page, size)
            longest = _clicked(sheet, page, names, size)
            rate = whole.spent().rate
            _looked_at(sheet, page, names)
        browser.close()
    script = sum(len(gzip.compress(file.read_bytes(), 9)) for file in FOLDER.rglob("*.js"))
    sheet.check(script <= _SCRIPT_BYTES_MAX, f"{script} bytes of JavaScript gzipped, of {_SCRIPT_BYTES_MAX}")
    sheet.check(rate >= 0.8 * size.rate, f"{rate:.0f} jobs/s were finished all along, of {size.rate}")
    sheet.check(
        longest <= size.task_ms, f"the longest task of the page took {longest:.0f} ms, of {size.task_ms}"
    )
    return sheet.ok


def _watched(sheet: Sheet, stack: Stack, page: Page, size: Size) -> None:
    """What an open page costs while nobody touches it."""
    before = Meter(stack)
    # The feed behind the streams runs while anyone watches: this is the server without it.
    page.wait_for_timeout(size.seconds * 1000)
    without = before.spent()
    stream = read_stream(stack, size.seconds)
    sheet.note(f"stream: {stream.bytes_per_s / 1000:.1f} kB/s, {stream.frames_per_s:.2f} frames/s")
    opened = time.monotonic()
    page.goto(stack.url)
    page.get_by_text("Busiest queues").wait_for()
    shown_ms = (time.monotonic() - opened) * 1000
    watch(page)
    during = Meter(stack)
    page.wait_for_timeout(size.seconds * 1000)
    beside, still = during.spent(), seen(page)
    sheet.note(
        f"server: {without.cpu_percent:.0f} % of a core at {without.rate:.0f} jobs/s without a page, "
        f"{beside.cpu_percent:.0f} % at {beside.rate:.0f} with one"
    )
    sheet.note(
        f"page: first shown after {shown_ms:.0f} ms, {still.fps:.0f} frames/s, heap {still.heap / 1e6:.1f} MB"
    )
    sheet.note(
        f"page: {still.tasks} tasks over 50 ms while nobody clicked, the longest {still.longest:.0f} ms"
    )


def _clicked(sheet: Sheet, page: Page, names: list[str], size: Size) -> float:
    """Goes through the pages as a person does; the longest task meanwhile, in ms."""
    watch(page)
    took: dict[str, float] = {}
    graves, loaded = names[-1], names[0]

    def click(what: str, on: str, selector: str, text: str = "") -> None:
        took[what] = until_shown(page, lambda: page.locator(on).first.click(), selector, text)

    def typed() -> None:
        page.locator("[data-search]").click()
        page.keyboard.type(loaded)

    def scrolled() -> None:
        page.locator(".list-scroll").hover()
        page.mouse.wheel(0, 1_000_000)

    click("queues", 'nav a[href="#/queues"]', '[aria-label="Queues"] .queue-row:not(.head)')
    took["queues, filter typed"] = until_shown(page, typed, '[aria-label="Queues"][aria-rowcount="2"]')
    click("a queue with traffic", f'.queue-row a[href="#/queues/{loaded}"]', "main", "Change limits")
    click("dead letters, grouped", 'nav a[href="#/dead"]', ".group", "UnknownJobType")
    click("one group, listed", '.group a:has-text("UnknownJobType")', f'[aria-label="Jobs of {graves}"] .row')
    click("all, listed", 'button:has-text("Clear filters")', ".list-scroll .row", "demo.fail")
    took["all, next page"] = until_shown(page, scrolled, '.list-scroll [aria-rowindex="101"]')
    click("a job", ".list-scroll .row a", "main", "Copy as")
    click("workers", 'nav a[href="#/workers"]', "main", "connected")
    click("overview", 'nav a[href="#/"]', "main", "Busiest queues")
    for name, ms in took.items():
        sheet.note(f"{ms:6.0f} ms to {name}")
    slowest = max(took, key=lambda name: took[name])
    sheet.check(
        took[slowest] <= size.click_ms,
        f"the slowest answer to a click, {slowest}, took {took[slowest]:.0f} ms, of {size.click_ms}",
    )
    return seen(page).longest


def _looked_at(sheet: Sheet, page: Page, names: list[str]) -> None:
    """Pictures of the pages in this state, and what axe says of them."""
    SCREENSHOTS.mkdir(exist_ok=True)
    # Run, not added to the page: its policy forbids that.
    page.evaluate(AXE.read_text("utf-8"))
    wrong: list[str] = []
    shown: dict[str, tuple[str, Callable[[], object]]] = {
        "overview": ("#/", page.get_by_text("Busiest queues").wait_for),
        "queues": ("#/queues", page.locator(".queue-row", has_text=names[5]).wait_for),
        "dead": (f"#/dead?queue={names[-1]}", page.locator(".group", has_text="UnknownJobType").wait_for),
    }
    for name, (where, wait) in shown.items():
        page.evaluate("where => { location.hash = where }", where)
        wait()
        page.screenshot(path=SCREENSHOTS / f"busy-{name}.png")
        wrong += [f"{name}: {one}" for one in violations(page)]
    for one in wrong:
        sheet.note(one)
    sheet.check(not wrong, f"axe finds {len(wrong)} violations on {', '.join(shown)}")
