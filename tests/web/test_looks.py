"""Every page in both themes and narrow: accessible by axe's rules, nothing to scroll sideways, a picture kept."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.waiting import until
from tests.web.conftest import SCREENSHOTS, OpenWindow
from tests.web.stack import WITHIN_S, Stack

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
QUEUE = "looks"


@pytest.fixture
def dead_id(stack: Stack) -> str:
    """A stack with something to see in every state; the id of a dead letter."""
    if not stack.stats(QUEUE):
        fail = {"type": "demo.fail", "payloadJson": {"reason": "card declined"}, "retry": {"maxAttempts": 1}}
        stack.enqueue(QUEUE, [fail for _ in range(12)])
        stack.enqueue(QUEUE, [{"type": "demo.slow", "payloadJson": {"seconds": 600}}])
        stack.enqueue(QUEUE, [{"type": "demo.ok", "delay": "3600s"} for _ in range(5)])
        stack.enqueue(
            "looks-exports",
            [{"type": "report.build", "payloadJson": {"month": "2026-10"}} for _ in range(40)],
        )
        stack.start_worker(QUEUE)
        until(lambda: stack.number(QUEUE, "dead") == 12, WITHIN_S, what="dead letters")
        stack.enqueue("looks-paused", [{"type": "demo.ok"}])
        stack.call("queues/looks-paused:pause", {})
    found: str = stack.call(f"queues/{QUEUE}/dead")["jobs"][0]["id"]
    return found


def pages(dead_id: str) -> dict[str, tuple[str, str]]:
    """Name to address and a text that shows when the page is there."""
    return {
        "overview": ("#/", "Busiest queues"),
        "queues": ("#/queues", "looks-exports"),
        "queue": (f"#/queues/{QUEUE}", "Change limits"),
        "jobs": ("#/jobs?queue=looks-exports", "report.build"),
        "job": (f"#/jobs/{QUEUE}/{dead_id}", "Stack trace"),
        "dead": ("#/dead", "DemoFailure"),
        "dead-list": (f"#/dead?queue={QUEUE}&view=list", "card declined"),
        "workers": ("#/workers", "connected"),
        "server": ("#/server", "Scripts"),
        "no-queue": ("#/queues/never-made", "There is no queue"),
        "no-job": (f"#/jobs/{QUEUE}/00000000-0000-7000-8000-000000000000", "There is no such job"),
        "no-page": ("#/nowhere", "There is no such page"),
    }


def violations(page: Page) -> list[str]:
    found: list[dict[str, Any]] = page.evaluate(
        "tags => axe.run(document, {runOnly: tags}).then(result => result.violations)", TAGS
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_accessible(stack: Stack, dead_id: str, open_window: OpenWindow, theme: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page = open_window(stack, theme=theme)
    assert AXE.exists(), "axe-core is not installed: run make test-web first"
    # Run, not added to the page: its policy forbids that.
    page.evaluate(AXE.read_text("utf-8"))
    wrong: list[str] = []
    for name, (where, text) in pages(dead_id).items():
        page.evaluate("where => { location.hash = where }", where)
        expect(page.get_by_text(text).first, name).to_be_visible()
        page.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png")
        wrong += [f"{name}: {one}" for one in violations(page)]
    page.evaluate("where => { location.hash = where }", f"#/dead?queue={QUEUE}")
    page.get_by_role("button", name="Purge all").click()
    expect(page.get_by_text("12 dead letters will be purged")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"dialog-{theme}.png")
    wrong += [f"dialog: {one}" for one in violations(page)]
    assert not wrong, "\n".join(wrong)


def test_pages_fit_a_telephone(stack: Stack, dead_id: str, open_window: OpenWindow) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page = open_window(stack, width=400)
    for name, (where, text) in pages(dead_id).items():
        page.evaluate("where => { location.hash = where }", where)
        expect(page.locator("main").get_by_text(text).first, name).to_be_attached()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 400, f"{name} is {width} px wide"
        page.screenshot(path=SCREENSHOTS / f"{name}-400.png", full_page=True)


def test_the_theme_is_chosen_and_kept(stack: Stack, open_window: OpenWindow) -> None:
    page = open_window(stack, theme="light")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(paper)
    button = page.get_by_role("button", name="Theme:")
    button.click()
    button.click()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == dark


def test_nothing_is_asked_of_other_hosts(stack: Stack, dead_id: str, open_window: OpenWindow) -> None:
    page = open_window(stack)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    for where, text in pages(dead_id).values():
        page.evaluate("where => { location.hash = where }", where)
        expect(page.get_by_text(text).first).to_be_attached()
    assert asked
    assert [url for url in asked if not url.startswith(stack.url)] == []
    assert sum("stats:watch" in url for url in asked) == 1, "one stream a tab"
