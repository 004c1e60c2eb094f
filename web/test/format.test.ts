import { describe, expect, it } from "vitest";
import * as format from "../src/ui/format";
import { niceTicks, timeTicks } from "../src/ui/scale";

describe("format", () => {
  it.each([
    [0, "0"],
    [7.25, "7.3"],
    [999, "999"],
    [1200, "1.2k"],
    [54_321, "54k"],
    [999_499, "999k"],
    [999_500, "1.0M"],
    [3_400_000, "3.4M"],
  ])("compact %d", (value, text) => expect(format.compact(value)).toBe(text));

  it.each([
    [0, "0"],
    [0.01, "<0.1"],
    [0.44, "0.4"],
    [12.4, "12"],
    [5100, "5.1k"],
  ])("rate %d", (value, text) => expect(format.rate(value)).toBe(text));

  it.each([
    [0, "0 s"],
    [0.2, "1 ms"],
    [840, "840 ms"],
    [2500, "2.5 s"],
    [59_900, "1 min"],
    [200_000, "3 min 20 s"],
    [18_720_000, "5 h 12 min"],
    [273_600_000, "3 d 4 h"],
  ])("duration %d ms", (value, text) => expect(format.duration(value)).toBe(text));

  it("says when, relative to now", () => {
    expect(format.relative(1000, 1500)).toBe("now");
    expect(format.relative(1000, 13_000)).toBe("12 s ago");
    expect(format.relative(181_000, 1000)).toBe("in 3 min");
  });

  it.each([
    [312, "312 B"],
    [4608, "4.5 KiB"],
    [1_288_490_189, "1.2 GiB"],
  ])("bytes %d", (value, text) => expect(format.bytes(value)).toBe(text));

  it("shortens names that are dotted, and no others", () => {
    expect(format.shortType("app.errors.Boom")).toBe("Boom");
    expect(format.shortType("<img src=x.y>")).toBe("<img src=x.y>");
    expect(format.shortType("")).toBe("");
  });
});

describe("axes", () => {
  it("have round ticks that cover the values", () => {
    expect(niceTicks(1, 4)).toEqual([0, 0.5, 1]);
    expect(niceTicks(83, 4)).toEqual([0, 50, 100]);
    expect(niceTicks(4, 4)).toEqual([0, 1, 2, 3, 4]);
  });

  it("have round moments inside the time shown", () => {
    const first = Date.UTC(2026, 0, 1, 10, 0, 7);
    const ticks = timeTicks(first, first + 300_000, 6);
    expect(ticks).toHaveLength(5);
    for (const tick of ticks) expect(tick % 60_000).toBe(0);
  });
});
