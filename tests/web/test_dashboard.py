"""What a person does with the dashboard, in a real browser against a real server, Redis and workers."""

import json
import re
import shlex
import subprocess
import sys

from playwright.sync_api import Page, expect

from tests.support.waiting import until
from tests.web.conftest import SCREENSHOTS, OpenWindow
from tests.web.stack import WITHIN_S, Stack

INJECTED = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def ok(ms: int = 1) -> dict[str, object]:
    return {"type": "demo.ok", "payloadJson": {"ms": ms}}


def failing(reason: str = "no luck") -> dict[str, object]:
    return {"type": "demo.fail", "payloadJson": {"reason": reason}, "retry": {"maxAttempts": 1}}


def figure(page: Page, name: str) -> float:
    text = page.locator(f"[data-figure={name}]").inner_text()
    number = float(re.sub(r"[^0-9.]", "", text) or 0)
    return number * {"k": 1e3, "M": 1e6}.get(text[-1], 1)


def test_numbers_move_while_jobs_flow(own_stack: Stack, queue: str, open_window: OpenWindow) -> None:
    own_stack.enqueue(queue, [ok() for _ in range(3)])
    page = open_window(own_stack)
    expect(page.locator("[data-figure=ready]")).to_have_text("3")
    assert figure(page, "acked") == 0
    own_stack.start_worker(queue)
    own_stack.enqueue(queue, [ok() for _ in range(200)])
    until(lambda: figure(page, "acked") > 0, WITHIN_S, what="a rate of finished jobs")
    expect(page.locator("[data-figure=ready]")).to_have_text("0")
    expect(page.locator(".connection")).to_have_text("Live")
    page.get_by_role("button", name="As table").click()
    expect(page.get_by_role("columnheader", name="Finished, jobs/s")).to_be_visible()


def test_a_dead_job_is_requeued_and_finishes(stack: Stack, queue: str, open_window: OpenWindow) -> None:
    stack.bury(queue, [ok()], "the partner was away")
    page = open_window(stack, f"#/dead?queue={queue}&view=list")
    page.get_by_role("link", name="demo.ok").click()
    expect(page.get_by_text("the partner was away").first).to_be_visible()
    page.get_by_role("button", name="Requeue").click()
    page.get_by_role("button", name="Requeue 1").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 dead letter requeued")).to_be_visible()
    dialog.get_by_role("button", name="Close").last.click()
    expect(page.get_by_text("Ready", exact=True).first).to_be_visible()
    stack.start_worker(queue)
    expect(page.get_by_text("This job is finished")).to_be_visible()
    assert stack.number(queue, "counters.acked") == 1
    assert stack.number(queue, "counters.requeued") == 1


def test_all_that_match_are_requeued_and_purged_with_a_preview(
    stack: Stack, queue: str, open_window: OpenWindow
) -> None:
    stack.bury(queue, [failing()] * 130)
    page = open_window(stack, f"#/dead?queue={queue}&view=list")
    page.get_by_label("Select shown").check()
    page.get_by_role("button", name="Select all 130").click()
    page.get_by_role("button", name="Requeue", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("130 dead letters will be requeued")).to_be_visible()
    assert stack.number(queue, "dead") == 130, "a preview changes nothing"
    dialog.get_by_role("button", name="Requeue 130").click()
    expect(dialog.get_by_text("130 dead letters requeued")).to_be_visible()
    assert stack.number(queue, "dead") == 0
    stack.start_worker(queue)
    until(lambda: stack.number(queue, "dead") == 130, WITHIN_S, what="the same dead letters again")

    page = open_window(stack, f"#/dead?queue={queue}")
    page.get_by_role("button", name="Purge 130 with").click()
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Purge 130")
    expect(confirm).to_be_disabled()
    dialog.get_by_role("textbox").fill(queue)
    confirm.click()
    expect(dialog.get_by_text("130 dead letters purged")).to_be_visible()
    # The result stays to be read, although the groups behind it are gone.
    expect(page.get_by_text("No dead letters")).to_be_attached()
    expect(dialog.get_by_text("130 dead letters purged")).to_be_visible()
    assert stack.number(queue, "dead") == 0


def test_a_queue_is_paused_limited_resumed_and_purged_by_its_name(
    stack: Stack, queue: str, open_window: OpenWindow
) -> None:
    stack.enqueue(queue, [ok() for _ in range(7)])
    page = open_window(stack, f"#/queues/{queue}")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    assert stack.stats(queue)["paused"] is True
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert not stack.stats(queue).get("paused")

    page.get_by_role("button", name="Change limits").click()
    page.get_by_label("Rate limit, claims/s").fill("25")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("25 claims/s")).to_be_visible()

    page.get_by_role("button", name="Purge").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("7 waiting jobs will be purged")).to_be_visible()
    confirm = dialog.get_by_role("button", name="Purge 7")
    dialog.get_by_role("textbox").fill(queue[:-1])
    expect(confirm).to_be_disabled()
    dialog.get_by_role("textbox").fill(queue)
    confirm.click()
    expect(dialog.get_by_text("7 waiting jobs purged")).to_be_visible()
    assert stack.number(queue, "ready") == 0


def test_a_job_runs_now_and_another_is_cancelled(stack: Stack, queue: str, open_window: OpenWindow) -> None:
    first, second = stack.enqueue(queue, [ok() | {"delay": "3600s"} for _ in range(2)])
    page = open_window(stack, f"#/jobs?queue={queue}&state=delayed&id={first}")
    page.get_by_label("Find a job by its id").press("Enter")
    page.get_by_role("button", name="Run now").click()
    until(lambda: stack.number(queue, "ready") == 1, WITHIN_S, what="a job that is ready")
    page.goto(f"{stack.url}#/jobs/{queue}/{second}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel 1").click()
    dialog = page.get_by_role("dialog")
    expect(page.get_by_text("This job is finished")).to_be_attached()
    expect(dialog.get_by_text("1 job cancelled")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("This job is finished")).to_be_visible()
    assert stack.number(queue, "delayed") == 0


def test_new_jobs_are_offered_and_move_no_row_under_the_pointer(
    stack: Stack, queue: str, open_window: OpenWindow
) -> None:
    stack.bury(queue, [failing()] * 3)
    page = open_window(stack, f"#/dead?queue={queue}&view=list")
    rows = page.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(3)
    rows.nth(1).hover()
    before = rows.nth(1).inner_text().split("\n")[:2]
    stack.bury(queue, [failing()] * 2)
    offer = page.get_by_role("button", name="2 new")
    expect(offer).to_be_visible()
    assert rows.nth(1).inner_text().split("\n")[:2] == before
    expect(rows).to_have_count(3)
    offer.click()
    expect(rows).to_have_count(5)


def test_the_server_dies_and_comes_back(own_stack: Stack, queue: str, open_window: OpenWindow) -> None:
    own_stack.enqueue(queue, [ok() for _ in range(4)])
    page = open_window(own_stack)
    expect(page.locator("[data-figure=ready]")).to_have_text("4")
    own_stack.kill_server()
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("Disconnected from the server")
    expect(banner).to_contain_text(re.compile(r"Numbers are from \d\d:\d\d:\d\d, .* ago"))
    expect(page.locator(".connection")).to_have_text("Disconnected")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "disconnected-light.png")
    own_stack.start_server()
    own_stack.enqueue(queue, [ok() for _ in range(5)])
    expect(page.locator(".connection")).to_have_text("Live")
    expect(banner).to_have_count(0)
    expect(page.locator("[data-figure=ready]")).to_have_text("9")


def test_what_jobs_and_workers_say_is_text(stack: Stack, queue: str, open_window: OpenWindow) -> None:
    # Dialogs, errors and reports of the Content-Security-Policy fail the test in open_window.
    hostile = {
        "type": INJECTED,
        "payloadJson": {INJECTED: INJECTED},
        "headers": {"x-a": INJECTED},
        "delay": "3600s",
    }
    (waiting,) = stack.enqueue(queue, [hostile])
    (dead,) = stack.bury(queue, [failing(INJECTED)], INJECTED)
    pages = {
        f"#/jobs?queue={queue}&state=delayed": INJECTED,
        f"#/jobs/{queue}/{waiting}": f'"{INJECTED}": "{INJECTED}"',
        f"#/dead?queue={queue}&view=list": INJECTED,
        f"#/jobs/{queue}/{dead}": INJECTED,
        "#/workers": INJECTED,
    }
    page = open_window(stack)
    with stack.claiming(queue, worker_id=INJECTED):
        for where, text in pages.items():
            page.goto(stack.url + where)
            expect(page.get_by_text(text).first, where).to_be_visible()
            assert page.locator("main img, main script").count() == 0, where


def test_the_commands_to_copy_do_what_they_say(stack: Stack, queue: str, open_window: OpenWindow) -> None:
    odd = {
        "type": "it's $(odd) \\\"é",
        "payloadJson": {"a": '"quoted" \'é\\n'},
        "headers": {"x-a": "$HOME '"},
    }
    (first,) = stack.enqueue(queue, [odd | {"priority": 2, "retry": {"maxAttempts": 7}}])
    page = open_window(stack, f"#/jobs/{queue}/{first}")
    text = page.get_by_role("region", name="Copy as").locator("pre")

    def command(tool: str, what: str) -> str:
        page.get_by_role("button", name=tool, exact=True).click()
        page.get_by_role("button", name=what).click()
        return text.inner_text().replace("127.0.0.1:50051", stack.grpc)

    def python(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    _, _, url = shlex.split(command("curl", "Show it"))
    assert stack.call(url.split("/api/v1/")[1])["summary"]["id"] == first
    words = shlex.split(command("curl", "Enqueue a copy").replace("\\\n", ""))
    second = stack.call(words[2].split("/api/v1/")[1], json.loads(words[-1]))["jobId"]
    assert first in python(command("Python", "Show it"))
    third = python(command("Python", "Enqueue a copy")).strip()
    assert "AdminService/GetJob" in command("grpcurl", "Show it")

    jobs = [stack.call(f"queues/{queue}/jobs/{one}")["job"] for one in (first, second, third)]
    for job in jobs:
        assert {name: job[name] for name in ("type", "payload", "headers", "priority")} == {
            name: jobs[0][name] for name in ("type", "payload", "headers", "priority")
        }
        assert job["retry"]["maxAttempts"] == 7


def test_the_keyboard_is_enough(stack: Stack, queue: str, open_window: OpenWindow) -> None:
    ids = stack.bury(queue, [failing()] * 3)
    page = open_window(stack)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    pages = {"w": "Workers", "s": "Server", "j": "Jobs", "d": "Dead letters", "q": "Queues"}
    for key, heading in pages.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.get_by_role("heading", name=heading, level=1)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Name contains")).to_be_focused()
    page.keyboard.type(queue)
    expect(page).to_have_url(re.compile(f"q={queue}"))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Single-key shortcuts")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.goto(f"{stack.url}#/dead?queue={queue}&view=list")
    expect(page.get_by_role("table").get_by_role("row")).to_have_count(3)
    for key in "jjxkx":
        page.keyboard.press(key)
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog").get_by_text("2 dead letters will be requeued")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_text("2 selected")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("|".join(ids)))
