// Numbers, sizes and times as people read them. Always the same width for the same kind of value, as far as that goes.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** 1234567 to "1,234,567". */
export function count(value: number): string {
  return whole.format(Math.round(value));
}

/** Four places at most: 987, 1.2k, 54k, 3.4M. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size < 1000)
    return size < 10 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value));
  for (const [limit, unit] of [
    [999_500, "k"],
    [999_500_000, "M"],
    [Number.POSITIVE_INFINITY, "G"],
  ] as const) {
    if (size < limit) {
      const scaled = value / { k: 1e3, M: 1e6, G: 1e9 }[unit];
      return `${Math.abs(scaled) < 9.95 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
    }
  }
  return String(value);
}

/** Jobs a second: "0", "0.4", "12", "5.1k". Less than one in twenty seconds is "<0.1". */
export function rate(perSecond: number): string {
  if (perSecond <= 0) return "0";
  if (perSecond < 0.05) return "<0.1";
  return compact(perSecond < 10 ? Math.round(perSecond * 10) / 10 : perSecond);
}

/** "840 ms", "12 s", "3 min 20 s", "5 h 12 min", "3 d 4 h". */
export function duration(ms: number): string {
  if (ms <= 0) return "0 s";
  if (ms < 1000) return `${Math.max(1, Math.round(ms))} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1).replace(/\.0$/, "")} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return two(seconds, [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ]);
}

function two(seconds: number, units: readonly (readonly [number, string])[]): string {
  const first = units.findIndex(([size]) => seconds >= size);
  const [size, unit] = units[first] ?? [1, "s"];
  const next = units[first + 1];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${next && rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}

/** "12 s ago", "in 3 min". */
export function relative(time: number, now: number): string {
  const difference = now - time;
  if (Math.abs(difference) < 1000) return "now";
  const text = duration(Math.abs(difference))
    .split(" ")
    .slice(0, 2)
    .join(" ")
    .replace(/^\d+\.\d+/, (number) => String(Math.floor(Number(number))));
  return difference > 0 ? `${text} ago` : `in ${text}`;
}

const two2 = (value: number) => String(value).padStart(2, "0");

/** "14:03:07". */
export function clock(time: number): string {
  const date = new Date(time);
  return `${two2(date.getHours())}:${two2(date.getMinutes())}:${two2(date.getSeconds())}`;
}

/** "14:03". */
export function clockMinutes(time: number): string {
  return clock(time).slice(0, 5);
}

/** "2026-03-04 14:03:07.250", in the browser's time zone. */
export function dateTime(time: number): string {
  const date = new Date(time);
  const day = `${date.getFullYear()}-${two2(date.getMonth() + 1)}-${two2(date.getDate())}`;
  return `${day} ${clock(time)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** "312 B", "4.5 KiB", "1.2 GiB". */
export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  let size = value;
  let unit = "B";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${Math.round(number) === 1 ? one : many}`;
}

/** The end of an id: a UUIDv7 begins with its time, so neighbours differ at the end. */
export function shortId(id: string): string {
  return id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id;
}

/** The last name of a dotted one: "relay_worker.demo.DemoFailure" to "DemoFailure". Names with other letters stay whole. */
export function shortType(type: string): string {
  return /^[\w.]+$/.test(type) ? (type.split(".").filter(Boolean).at(-1) ?? type) : type;
}
