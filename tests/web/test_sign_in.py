"""Signing in and out of the dashboard, in a real browser against a server that asks who calls."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.credentials import TokensFile
from tests.web.conftest import SCREENSHOTS, OpenWindow
from tests.web.stack import Stack, open_stack
from tests.web.test_looks import AXE, violations


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokensFile]:
    with tempfile.TemporaryDirectory(prefix="relay-web-") as folder:
        yield TokensFile(Path(folder, "tokens.toml"))


@pytest.fixture(scope="module")
def guarded(tokens: TokensFile) -> Iterator[Stack]:
    token = tokens.add("ada", producer="*", operator="*")
    with open_stack("--tokens-file", str(tokens.path), token=token) as stack:
        stack.enqueue("orders", [{"type": "demo.ok"}] * 3)
        yield stack


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_in_and_out_again(guarded: Stack, open_window: OpenWindow) -> None:
    page = open_window(guarded, "#/queues")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_focused()
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_text("")
    sign_in(page, guarded.token[:-3] + "xyz")
    expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
    sign_in(page, f"  {guarded.token} ")
    expect(page.get_by_role("link", name="orders")).to_be_visible()
    expect(page.locator(".connection")).to_have_text("Live")
    assert guarded.token not in page.evaluate(
        "document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"
    )
    [cookie] = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("relay_token", True, "Strict")

    page.reload()
    expect(page.get_by_role("link", name="orders")).to_be_visible()
    page.goto(f"{guarded.url}#/queues/orders")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    assert guarded.stats("orders")["paused"] is True

    page.get_by_role("button", name="Sign out ada").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.context.cookies() == []
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_revoked_token_and_one_that_may_see_nothing(
    guarded: Stack, tokens: TokensFile, open_window: OpenWindow
) -> None:
    eve, shop = tokens.add("eve", viewer="*"), tokens.add("shop", producer="*")
    page = open_window(guarded, "#/queues")
    expect(page.get_by_label("Token")).to_be_visible()

    def signed_in() -> bool:
        """The server reads its file within seconds."""
        answer = page.request.post(f"{guarded.url}api/v1/sign-in", data={"token": shop})
        return answer.ok

    for _ in range(100):
        if signed_in():
            break
        page.wait_for_timeout(100)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("shop is not viewer of any queue")
    sign_in(page, eve)
    expect(page.get_by_role("link", name="orders")).to_be_visible()
    page.goto(f"{guarded.url}#/queues/orders")
    page.get_by_role("button", name=re.compile("^(Pause|Resume)$")).click()
    expect(page.get_by_text("eve is not operator of any queue")).to_be_visible()
    tokens.revoke(eve)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("revoked")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_looks(guarded: Stack, open_window: OpenWindow, theme: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page = open_window(guarded, theme=theme)
    sign_in(page, "nonsense")
    expect(page.get_by_role("alert")).to_contain_text("unknown")
    page.evaluate(AXE.read_text("utf-8"))
    page.screenshot(path=SCREENSHOTS / f"sign-in-{theme}.png")
    assert violations(page) == []
    narrow = open_window(guarded, theme=theme, width=400)
    expect(narrow.get_by_label("Token")).to_be_visible()
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 400
    narrow.screenshot(path=SCREENSHOTS / f"sign-in-{theme}-400.png")
