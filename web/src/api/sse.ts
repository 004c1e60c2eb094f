// The parser of server-sent events, as in the HTML standard: any line ending, comments, several data lines.

export interface ServerEvent {
  event: string;
  data: string;
  id: string;
}

/** Takes text in pieces of any size and gives the complete events. Comments are skipped. */
export class EventParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  private id = "";
  private started = false;

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    let buffer = this.rest + text;
    if (!this.started && buffer) {
      this.started = true;
      if (buffer.startsWith("\uFEFF")) buffer = buffer.slice(1);
    }
    // A CR at the very end may be half of a CRLF: it waits for the next piece.
    const held = buffer.endsWith("\r") ? "\r" : "";
    const lines = (held ? buffer.slice(0, -1) : buffer).split(/\r\n|\n|\r/);
    this.rest = (lines.pop() ?? "") + held;
    for (const line of lines) this.line(line, events);
    return events;
  }

  private line(line: string, events: ServerEvent[]): void {
    if (line === "") {
      if (this.data.length > 0)
        events.push({ event: this.event || "message", data: this.data.join("\n"), id: this.id });
      this.event = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}
