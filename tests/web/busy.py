"""The dashboard beside many queues, many dead letters and much traffic: what it costs, and how soon it answers."""

import gzip
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, sync_playwright

from relay_client import Client, JobSpec, RetryPolicy
from relay_server.gateway.static import FOLDER
from tests.support.browser import chromium
from tests.web.stack import Stack, eventually, open_stack
from tests.web.test_looks import AXE, violations

_LOADED = 10  # queues that have traffic

# Milliseconds from a changed address to a text of the new page, looked for before each frame.
_GO = """([where, text]) => new Promise((done, failed) => {
  const start = performance.now();
  location.hash = where;
  const look = () => {
    const took = performance.now() - start;
    if (document.querySelector("main").innerText.includes(text)) done(took);
    else if (took > 20000) failed(new Error(`${where} never showed ${text}`));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""
_WATCH = """() => {
  window.seen = {frames: 0, tasks: [], start: performance.now()};
  const frame = () => { window.seen.frames += 1; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  new PerformanceObserver(list => window.seen.tasks.push(...list.getEntries().map(one => one.duration)))
    .observe({entryTypes: ["longtask"]});
}"""
_SEEN = """() => ({
  fps: window.seen.frames / (performance.now() - window.seen.start) * 1000,
  longest: Math.max(0, ...window.seen.tasks), tasks: window.seen.tasks.length,
  heap: performance.memory ? performance.memory.usedJSHeapSize : 0,
})"""


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
    with open_stack() as stack, sync_playwright() as playwright:
        names = [f"busy-{number:03}" for number in range(size.queues)]
        graves = names[-1]
        _fill(stack, names, graves, size.dead)
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        with _load(stack, names[:_LOADED], size.rate):
            return _measure(stack, page, names, graves, size)


def _measure(stack: Stack, page: Page, names: list[str], graves: str, size: Size) -> bool:
    before, started = _acked(stack), time.monotonic()
    stream = _stream(stack, size.seconds)
    opened = time.monotonic()
    page.goto(stack.url)
    page.get_by_text("Busiest queues").wait_for()
    first_ms = (time.monotonic() - opened) * 1000
    page.evaluate(_WATCH)
    page.wait_for_timeout(size.seconds * 1000)
    watched: dict[str, float] = page.evaluate(_SEEN)
    clicks = {
        "queues page": page.evaluate(_GO, ["#/queues", names[5]]),
        "a filter of it": page.evaluate(_GO, [f"#/queues?q={names[7]}", names[7]]),
        "a loaded queue": page.evaluate(_GO, [f"#/queues/{names[0]}", "Change limits"]),
        "dead letters, grouped": page.evaluate(_GO, [f"#/dead?queue={graves}", "DemoFailure"]),
        "dead letters, listed": page.evaluate(_GO, [f"#/dead?queue={graves}&view=list", "demo.fail"]),
        "workers": page.evaluate(_GO, ["#/workers", "connected"]),
        "overview": page.evaluate(_GO, ["#/", "Busiest queues"]),
    }
    all_of_it: dict[str, float] = page.evaluate(_SEEN)
    rate = (_acked(stack) - before) / (time.monotonic() - started)
    page.evaluate(AXE.read_text("utf-8"))
    wrong = violations(page)
    page.evaluate(_GO, ["#/queues", names[5]])
    wrong += violations(page)
    script = sum(len(gzip.compress(file.read_bytes(), 9)) for file in FOLDER.rglob("*.js"))
    print(f"{size.queues} queues, {size.dead} dead letters, {rate:.0f} jobs/s finished while it was watched")
    seconds = stream["seconds"]
    print(f"  stream: {stream['bytes'] / seconds / 1000:.1f} kB/s, {stream['frames'] / seconds:.1f} frames/s")
    tasks, longest, heap = watched["tasks"], watched["longest"], all_of_it["heap"] / 1e6
    print(f"  page: shown after {first_ms:.0f} ms, {watched['fps']:.0f} frames/s, heap {heap:.1f} MB")
    print(f"  page: {tasks:.0f} tasks over 50 ms, the longest {longest:.0f} ms while nobody clicked")
    for name, took in clicks.items():
        print(f"  {took:6.0f} ms to {name}")
    print(f"  {script} bytes of JavaScript gzipped")
    verdicts = {
        f"at least 80 % of {size.rate} jobs/s": rate >= 0.8 * size.rate,
        f"every click is answered within {size.click_ms} ms": max(clicks.values()) <= size.click_ms,
        f"no task of the page takes over {size.task_ms} ms": all_of_it["longest"] <= size.task_ms,
        f"axe finds {len(wrong)} violations": not wrong,
    }
    for text, held in verdicts.items():
        print(f"  {'yes' if held else 'NO '} {text}")
    return all(verdicts.values())


def _fill(stack: Stack, names: list[str], graves: str, dead: int) -> None:
    with Client(stack.grpc) as client:
        for name in names:
            client.enqueue_many(name, [JobSpec(type="demo.ok", delay=3600)] * 3)
        worker = stack.start_worker(graves, concurrency=500)
        for start in range(0, dead, 500):
            jobs = [_doomed(number) for number in range(start, min(start + 500, dead))]
            client.enqueue_many(graves, jobs)
        eventually(lambda: stack.number(graves, "dead") >= dead, "the dead letters", within=120)
    worker.terminate()
    worker.wait()


def _doomed(number: int) -> JobSpec:
    return JobSpec(
        type="demo.fail", payload={"reason": f"reason {number % 7}"}, retry=RetryPolicy(max_attempts=1)
    )


def _acked(stack: Stack) -> int:
    return sum(int(one["counters"].get("acked", 0)) for one in stack.call("stats")["queues"])


@contextmanager
def _load(stack: Stack, names: list[str], rate: int) -> Iterator[None]:
    """A worker and a producer that keeps to the rate: a tenth of a second's jobs ten times a second."""
    stop = threading.Event()
    jobs = [JobSpec(type="demo.ok", payload={"ms": 0})] * (rate // 10)

    def produce() -> None:
        with Client(stack.grpc) as client:
            due, turn = time.monotonic(), 0
            while not stop.wait(max(0.0, due - time.monotonic())):
                client.enqueue_many(names[turn % len(names)], jobs)
                due, turn = due + 0.1, turn + 1

    stack.start_worker(*names, concurrency=500)
    producer = threading.Thread(target=produce)
    producer.start()
    try:
        eventually(lambda: _acked(stack) > rate // 2, "the first jobs to be done")
        yield
    finally:
        stop.set()
        producer.join()


def _stream(stack: Stack, seconds: float) -> dict[str, Any]:
    """Bytes and frames of the dashboard's stream, read without a browser."""
    asked = urllib.request.Request(f"{stack.url}api/v1/stats:watch", headers={"accept": "text/event-stream"})
    found, started = {"bytes": 0, "frames": 0}, time.monotonic()
    with urllib.request.urlopen(asked, timeout=15) as answer:
        while time.monotonic() - started < seconds:
            line = answer.readline()
            found["bytes"] += len(line)
            found["frames"] += line.startswith(b"data:")
    return {**found, "seconds": time.monotonic() - started}
