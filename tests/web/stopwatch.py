"""Measures in the page itself: from a person's click or key to what it brings, frames drawn, tasks that hold it up."""

from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page

# Counts from the newest input, so that typing is measured from its last key. Looks before each frame is drawn.
_ARM = """([selector, text]) => {
  const there = () => [...document.querySelectorAll(selector)].some(one => one.textContent.includes(text));
  if (there()) throw new Error(`${selector} with "${text}" is there before it is asked for`);
  let start = NaN;
  const note = event => { start = event.timeStamp; };
  const inputs = ["pointerdown", "keydown", "wheel"];
  for (const name of inputs) addEventListener(name, note, {capture: true, passive: true});
  const armed = performance.now();
  window.brought = new Promise((done, failed) => {
    const end = () => { for (const name of inputs) removeEventListener(name, note, {capture: true}); };
    const look = () => {
      if (there()) { end(); done(performance.now() - start); }
      else if (performance.now() - armed > 30000) { end(); failed(new Error(`${selector} never showed "${text}"`)); }
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}"""
_WATCH = """() => {
  window.seen = {frames: 0, tasks: [], start: performance.now()};
  if (window.watched) return;
  window.watched = true;
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
class Seen:
    """Since the watch was started: frames a second; tasks of over 50 ms and the longest, in ms; bytes of heap now."""

    fps: float
    longest: float
    tasks: int
    heap: int


def watch(page: Page) -> None:
    """Starts to count, or starts again."""
    page.evaluate(_WATCH)


def seen(page: Page) -> Seen:
    found = page.evaluate(_SEEN)
    return Seen(**found)


def until_shown(page: Page, act: Callable[[], None], selector: str, text: str = "") -> float:
    """Milliseconds from the last input that `act` makes to an element with that text, which must not be there yet."""
    page.evaluate(_ARM, [selector, text])
    act()
    return float(page.evaluate("() => window.brought"))
