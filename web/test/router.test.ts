import { afterEach, describe, expect, it, vi } from "vitest";
import { href, parseHash, replace } from "../src/nav/router";

describe("filters and the URL", () => {
  it("survive the way there and back, whatever they hold", () => {
    const filters = { queue: "a.b-c_d", type: "100 % <b> & more?#/", error: "Größe = 1" };
    const route = parseHash(href(["jobs", "q/1", "id?2"], filters));
    expect(route.path).toEqual(["jobs", "q/1", "id?2"]);
    expect(Object.fromEntries(route.query)).toEqual(filters);
  });

  it("leave out what is empty", () => {
    expect(href(["jobs"], { queue: "q", type: "", id: undefined })).toBe("#/jobs?queue=q");
    expect(href([])).toBe("#/");
  });

  it("bear a hash that nobody made here", () => {
    expect(parseHash("#/queues/%E0%A4%A").path).toEqual(["queues", "%E0%A4%A"]);
    expect(parseHash("").path).toEqual([]);
  });
});

describe("replace", () => {
  afterEach(() => vi.restoreAllMocks());
  it("changes the URL without a new entry in the history, and tells", () => {
    const told = vi.fn();
    window.addEventListener("hashchange", told, { once: true });
    const before = window.history.length;
    replace("#/queues?q=a");
    expect(window.location.hash).toBe("#/queues?q=a");
    expect(window.history.length).toBe(before);
    expect(told).toHaveBeenCalledOnce();
  });
});
