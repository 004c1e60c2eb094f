// A payload as text: indented JSON, plain text, or a hex dump. Never markup.

export interface Shown {
  kind: "json" | "text" | "hex" | "empty";
  text: string;
  /** Bytes that are not shown. */
  hidden: number;
}

const TEXT_MAX = 256 * 1024;
const HEX_MAX = 4096;

export function show(payload: Uint8Array, contentType: string): Shown {
  if (payload.length === 0) return { kind: "empty", text: "", hidden: 0 };
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
  } catch {
    return {
      kind: "hex",
      text: hexDump(payload.subarray(0, HEX_MAX)),
      hidden: Math.max(0, payload.length - HEX_MAX),
    };
  }
  if (/[/+]json\b/.test(contentType) && text.length <= TEXT_MAX) {
    try {
      const indented = JSON.stringify(JSON.parse(text), null, 2);
      // Numbers beyond 2^53 would be shown changed: then the text is shown as it came.
      if (squeezed(indented) === squeezed(text)) return { kind: "json", text: indented, hidden: 0 };
    } catch {
      // Not JSON after all: text.
    }
  }
  return { kind: "text", text: text.slice(0, TEXT_MAX), hidden: Math.max(0, text.length - TEXT_MAX) };
}

const squeezed = (json: string) => json.replaceAll(/\s+/g, "");

function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}
