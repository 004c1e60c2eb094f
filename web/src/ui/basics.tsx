// Small parts that every page uses: states, icons, times, buttons, empty and error states.

import { type ButtonHTMLAttributes, type ReactNode, useState } from "react";
import { ApiError } from "../api/http";
import type { JobState } from "../api/model";
import { useNow } from "../live/hooks";
import { dateTime, relative, shortId } from "./format";

export const STATE_NAME: Record<JobState, string> = {
  ready: "Ready",
  delayed: "Delayed",
  inflight: "In flight",
  dead: "Dead",
};

/** A shape for each state, so that colour is never alone: circle, clock, triangle, cross. */
export function StateMark({ state }: { state: JobState }) {
  return (
    <svg className={`mark mark-${state}`} viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
      {state === "ready" && <circle cx="6" cy="6" r="4.25" fill="none" strokeWidth="1.75" />}
      {state === "delayed" && (
        <path d="M6 1.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M6 3.5V6l1.8 1.4" fill="none" strokeWidth="1.5" />
      )}
      {state === "inflight" && <path d="M2.5 1.5v9l8-4.5z" className="filled" />}
      {state === "dead" && <path d="M2.25 2.25l7.5 7.5m0-7.5l-7.5 7.5" fill="none" strokeWidth="2" />}
    </svg>
  );
}

export function StateLabel({ state }: { state: JobState }) {
  return (
    <span className="state-label">
      <StateMark state={state} />
      {STATE_NAME[state]}
    </span>
  );
}

const ICONS = {
  overview: "M2 12.5h12M3.5 10V7.5M6.5 10V3.5M9.5 10V6M12.5 10V4.5",
  queues: "M2.5 4h11M2.5 8h11M2.5 12h7",
  jobs: "M3 3h10v10H3zM3 6.5h10M6.5 6.5V13",
  dead: "M8 2.2l6 10.8H2zM8 6.5v3M8 11.4v.1",
  workers: "M4 4h8v8H4zM6.5 1.8V4m3-2.2V4m-3 8v2.2m3-2.2v2.2M1.8 6.5H4m-2.2 3H4m8-3h2.2M12 9.5h2.2",
  server: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M4.5 3l8 5-8 5z",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.2v3.1h-3.1",
  trash: "M3 4.5h10M6.2 4.5V3h3.6v1.5M4.2 4.5l.6 8.5h6.4l.6-8.5",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  close: "M4 4l8 8m0-8l-8 8",
  edit: "M3 13l.6-2.8 7-7 2.2 2.2-7 7z",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.4m0 10.2v1.4M1.5 8h1.4m10.2 0h1.4M3.4 3.4l1 1m7.2 7.2l1 1m0-9.2l-1 1m-7.2 7.2l-1 1",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8",
  system: "M2 3h12v8H2zM5.5 13.5h5",
  keyboard: "M1.8 4h12.4v8H1.8zM4 6.5h.1M6.5 6.5h.1M9 6.5h.1M11.5 6.5h.1M4.5 9.5h7",
  search: "M7 2.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4M10.2 10.2l3.3 3.3",
  leave: "M6.5 3H3v10h3.5M9 5l3 3-3 3M12 8H6",
  back: "M9.5 3.5L5 8l4.5 4.5",
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "primary" | "danger" | "quiet" | undefined;
  icon?: IconName;
}

export function Button({ kind, icon, children, className, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} className={`button ${kind ?? ""} ${className ?? ""}`}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** "12 s ago", with the whole time as its tooltip. */
export function Ago({ time }: { time: number }) {
  const now = useNow(1000);
  if (!time) return <span className="muted">–</span>;
  return (
    <time dateTime={new Date(time).toISOString()} title={dateTime(time)}>
      {relative(time, now)}
    </time>
  );
}

export function JobId({ id }: { id: string }) {
  return (
    <code className="id" title={id}>
      {shortId(id)}
    </code>
  );
}

/** Copies text; says that it did. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      setSaid("Not allowed here: select the text and copy it");
    }
    setTimeout(() => setSaid(""), 2500);
  };
  return (
    <Button kind="quiet" icon="copy" onClick={copy} aria-label={label} title={label}>
      <span aria-live="polite">{said || "Copy"}</span>
    </Button>
  );
}

/** Says that a list is empty, and why. `whole`: the page has nothing else, so this title is the page's heading. */
export function Empty({ title, children, whole }: { title: string; children?: ReactNode; whole?: boolean }) {
  const Title = whole ? "h1" : "p";
  return (
    <div className="empty">
      <svg viewBox="0 0 48 24" width="48" height="24" aria-hidden="true">
        <path d="M2 18h44M8 18v-6m8 6V8m8 10v-4m8 4v-8m8 8v-5" />
      </svg>
      <Title className="empty-title">{title}</Title>
      {children && <div>{children}</div>}
    </div>
  );
}

export function Failed({ error, retry }: { error: Error; retry?: () => void }) {
  return (
    <div className="failed" role="alert">
      <p className="empty-title">This could not be loaded</p>
      <p>{words(error)}</p>
      {retry && (
        <Button icon="retry" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

export function words(error: Error): string {
  if (error instanceof ApiError && error.fields.size > 0)
    return [...error.fields].map(([field, text]) => `${field}: ${text}`).join("; ");
  return error.message;
}

/** Grey bars in the place of rows that are on their way. */
export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div className="loading" role="status">
      <span className="visually-hidden">Loading</span>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: bars are all the same
        <div key={row} className="loading-bar" />
      ))}
    </div>
  );
}

interface Figure {
  label: string;
  value: ReactNode;
  unit?: string;
  note?: ReactNode;
  children?: ReactNode;
}

/** One number with its name and unit, and room for a small picture below it. */
export function Figure({ label, value, unit, note, children }: Figure) {
  return (
    <div className="figure">
      <dt>{label}</dt>
      <dd>
        <span className="figure-value">{value}</span>
        {unit && <span className="figure-unit">{unit}</span>}
        {note && <span className="figure-note">{note}</span>}
      </dd>
      {children && <dd className="figure-picture">{children}</dd>}
    </div>
  );
}

export function Section({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  const id = `section-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return (
    <section className="section" aria-labelledby={id}>
      <div className="section-head">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

export function Choice<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: T;
  options: readonly (readonly [T, ReactNode])[];
  onChange: (value: T) => void;
}) {
  return (
    <fieldset className="choice" aria-label={label}>
      {options.map(([name, text]) => (
        <button key={name} type="button" aria-pressed={name === value} onClick={() => onChange(name)}>
          {text}
        </button>
      ))}
    </fieldset>
  );
}
