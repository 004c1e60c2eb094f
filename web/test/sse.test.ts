import { describe, expect, it } from "vitest";
import { EventParser } from "../src/api/sse";

const wire =
  'retry: 1000\n\nid: 1\ndata: {"a":1}\n\n: keep-alive\n\nid: 2\r\ndata: x\r\ndata: y\r\n\r\nevent: end\rdata: {}\r\rdata: cut';

describe("EventParser", () => {
  it("reads events whatever the pieces are", () => {
    const expected = [
      { event: "message", data: '{"a":1}', id: "1" },
      { event: "message", data: "x\ny", id: "2" },
      { event: "end", data: "{}", id: "2" },
    ];
    for (const size of [1, 2, 3, 7, 1000]) {
      const parser = new EventParser();
      const found = [];
      for (let at = 0; at < wire.length; at += size) found.push(...parser.push(wire.slice(at, at + size)));
      expect(found, `pieces of ${size}`).toEqual(expected);
    }
  });

  it("gives no event for comments and for fields without data", () => {
    expect(new EventParser().push(": hello\n\nevent: error\n\n")).toEqual([]);
  });

  it("keeps a colon and the second space of a value, and drops a byte order mark", () => {
    expect(new EventParser().push("\uFEFFdata:  a: b\n\n")).toEqual([
      { event: "message", data: " a: b", id: "" },
    ]);
  });
});
