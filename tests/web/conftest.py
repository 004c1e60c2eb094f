"""A stack, and a browser that looks at it."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, ViewportSize, expect, sync_playwright

from tests.support.browser import chromium
from tests.web.stack import WITHIN_S, Stack, open_stack

SCREENSHOTS = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One for a test process: tests have queues of their own in it."""
    with open_stack() as opened:
        yield opened


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """For a test that kills the server, or looks at all queues."""
    with open_stack() as opened:
        yield opened


@pytest.fixture
def queue() -> str:
    return f"web-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a module, no longer: as long as it is there, its event loop runs and no test can run another one."""
    program = chromium()
    expect.set_options(timeout=WITHIN_S * 1000)
    # Chromium's own sandbox needs privileges that containers and root have not; nothing foreign is loaded here.
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@dataclass(slots=True)
class Window:
    """A page that remembers what must not happen in it: errors, dialogs, reports of the Content-Security-Policy."""

    page: Page
    troubles: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self._dismiss(dialog))
        self.page.on("console", lambda said: self._hear(said.type, said.text))

    def _dismiss(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _hear(self, kind: str, text: str) -> None:
        # A request that failed is told by the page itself, and by the test that causes it.
        if kind in {"error", "warning"} and "Failed to load resource" not in text and "net::ERR" not in text:
            self.troubles.append(f"console: {text}")


OpenWindow = Callable[..., Page]


@pytest.fixture
def open_window(browser: Browser) -> Iterator[OpenWindow]:
    """Opens a page of the dashboard: `open_window(stack, "#/queues", theme="dark", width=400)`."""
    contexts: list[BrowserContext] = []
    windows: list[Window] = []

    def opened(stack: Stack, where: str = "", *, theme: str = "light", width: int = 1280) -> Page:
        size: ViewportSize = {"width": width, "height": 860}
        context = browser.new_context(
            viewport=size,
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="reduce",
            service_workers="block",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WITHIN_S * 1000)
        window = Window(page)
        window.watch()
        windows.append(window)
        page.goto(stack.url + where)
        return page

    yield opened
    for context in contexts:
        context.close()
    troubles = [trouble for window in windows for trouble in window.troubles]
    assert not troubles, troubles


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of these tests may have to fetch a browser: that may take longer than other tests do."""
    here = os.fspath(Path(__file__).parent)
    for item in items:
        if os.fspath(item.path).startswith(here):
            item.add_marker(pytest.mark.timeout(420))
