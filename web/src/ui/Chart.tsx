// Lines over time with axes, units, a readable value under the pointer, and the same numbers as a table.

import { type KeyboardEvent, type PointerEvent, useId, useMemo, useState } from "react";
import { clock, clockMinutes, compact } from "./format";
import { niceTicks, timeTicks } from "./scale";
import { useWidth } from "./useWidth";

export interface Line {
  name: string;
  /** Class of the colour: "c-in", "c-done", "c-failed", "c-ready", "c-inflight". */
  tone: string;
  dash?: "dashed" | "dotted";
  filled?: boolean;
  values: readonly number[];
}

interface Props {
  label: string;
  unit: string;
  times: readonly number[];
  lines: readonly Line[];
  height?: number;
  /** The axis covers so much even when there are fewer points. */
  spanMs: number;
  /** Two points farther apart than this are not joined. */
  gapMs: number;
  format?: (value: number) => string;
  /** The least top of the axis; 4 for values that are whole numbers. */
  leastTop?: number;
}

const PAD = { left: 46, right: 12, top: 10, bottom: 24 };

export function Chart({
  label,
  unit,
  times,
  lines,
  height = 200,
  spanMs,
  gapMs,
  format = compact,
  leastTop = 4,
}: Props) {
  const [box, width] = useWidth();
  const [at, setAt] = useState<number | null>(null);
  const [table, setTable] = useState(false);
  const tableId = useId();
  const last = times.at(-1) ?? Date.now();
  const first = last - spanMs;
  const inner = Math.max(10, width - PAD.left - PAD.right);
  const top = Math.max(leastTop, ...lines.flatMap((line) => line.values));
  const ticks = niceTicks(top, 4);
  const max = ticks.at(-1) ?? 1;
  const x = (time: number) => PAD.left + ((time - first) / spanMs) * inner;
  const y = (value: number) => PAD.top + (1 - value / max) * (height - PAD.top - PAD.bottom);
  const base = y(0);
  const fine = spanMs <= 600_000;
  const timeLabel = fine ? clock : clockMinutes;
  const marks = timeTicks(first, last, Math.max(2, Math.floor(inner / 110)));
  const markLabel = (marks[1] ?? 0) - (marks[0] ?? 0) < 60_000 ? clock : clockMinutes;

  const nearest = (clientX: number, element: Element) => {
    const wanted = first + ((clientX - element.getBoundingClientRect().left - PAD.left) / inner) * spanMs;
    let best: number | null = null;
    for (let index = 0; index < times.length; index++) {
      if (best === null || Math.abs((times[index] ?? 0) - wanted) < Math.abs((times[best] ?? 0) - wanted))
        best = index;
    }
    return best;
  };
  const onMove = (event: PointerEvent<SVGSVGElement>) => setAt(nearest(event.clientX, event.currentTarget));
  const onKey = (event: KeyboardEvent<SVGSVGElement>) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || times.length === 0) return;
    event.preventDefault();
    setAt((old) => Math.min(times.length - 1, Math.max(0, (old ?? times.length - 1) + step)));
  };
  const shown = at !== null && at < times.length ? at : null;
  const shownTime = shown === null ? null : (times[shown] ?? null);

  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title">
          {label} <span className="muted">{unit}</span>
        </span>
        <button
          type="button"
          className="link-button"
          aria-expanded={table}
          aria-controls={tableId}
          onClick={() => setTable(!table)}
        >
          {table ? "Hide table" : "As table"}
        </button>
        <span className="legend">
          {lines.map((line) => (
            <span key={line.name} className="legend-entry">
              <svg viewBox="0 0 20 8" width="20" height="8" aria-hidden="true">
                <line x1="0" x2="20" y1="4" y2="4" className={`line ${line.tone} ${line.dash ?? ""}`} />
              </svg>
              {line.name}
              <b>{shown === null ? "" : format(line.values[shown] ?? 0)}</b>
            </span>
          ))}
          {shownTime !== null && <span className="muted">{timeLabel(shownTime)}</span>}
        </span>
      </figcaption>
      <div ref={box} className="chart-box">
        <svg
          width={width}
          height={height}
          tabIndex={0}
          role="img"
          aria-label={`${label}, ${unit}: ${lines.map((line) => `${line.name} ${format(line.values.at(-1) ?? 0)}`).join(", ")}. Arrow keys read values.`}
          onPointerMove={onMove}
          onPointerLeave={() => setAt(null)}
          onBlur={() => setAt(null)}
          onKeyDown={onKey}
        >
          {ticks.map((tick) => (
            <g key={tick} className="axis">
              <line
                x1={PAD.left}
                x2={width - PAD.right}
                y1={y(tick)}
                y2={y(tick)}
                className={tick === 0 ? "base" : ""}
              />
              <text x={PAD.left - 8} y={y(tick)} dy="0.32em" textAnchor="end">
                {format(tick)}
              </text>
            </g>
          ))}
          {marks.map((tick) => (
            <g key={tick} className="axis">
              <line x1={x(tick)} x2={x(tick)} y1={base} y2={base + 4} className="base" />
              <text x={x(tick)} y={height - 6} textAnchor="middle">
                {markLabel(tick)}
              </text>
            </g>
          ))}
          <Lines lines={lines} times={times} x={x} y={y} gapMs={gapMs} base={base} first={first} />
          {shownTime !== null && shown !== null && (
            <g className="cursor">
              <line x1={x(shownTime)} x2={x(shownTime)} y1={PAD.top} y2={base} />
              {lines.map((line) => (
                <circle
                  key={line.name}
                  cx={x(shownTime)}
                  cy={y(line.values[shown] ?? 0)}
                  r="3.5"
                  className={line.tone}
                />
              ))}
            </g>
          )}
        </svg>
        {times.length < 2 && <p className="chart-note">Collecting: the first values come in a moment.</p>}
      </div>
      <div id={tableId}>
        {table && <Table times={times} lines={lines} label={timeLabel} format={format} unit={unit} />}
      </div>
    </figure>
  );
}

interface LinesProps {
  lines: readonly Line[];
  times: readonly number[];
  x: (time: number) => number;
  y: (value: number) => number;
  gapMs: number;
  base: number;
  first: number;
}

function Lines({ lines, times, x, y, gapMs, base, first }: LinesProps) {
  return lines.map((line) => {
    const runs = pieces(times, line.values, gapMs, first);
    const path = runs
      .map((run) => `M${run.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join("L")}`)
      .join("");
    const area = runs.map((run) => {
      const [from] = run[0] ?? [0];
      const [to] = run.at(-1) ?? [0];
      return `M${x(from).toFixed(1)},${base}L${run.map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join("L")}L${x(to).toFixed(1)},${base}Z`;
    });
    return (
      <g key={line.name}>
        {line.filled && <path d={area.join("")} className={`area ${line.tone}`} />}
        <path d={path} className={`line ${line.tone} ${line.dash ?? ""}`} />
      </g>
    );
  });
}

/** The runs of points without a gap between them. */
function pieces(
  times: readonly number[],
  values: readonly number[],
  gapMs: number,
  first: number,
): [number, number][][] {
  const runs: [number, number][][] = [];
  let before = Number.NEGATIVE_INFINITY;
  times.forEach((time, index) => {
    if (time < first) return;
    if (time - before > gapMs) runs.push([]);
    runs.at(-1)?.push([time, values[index] ?? 0]);
    before = time;
  });
  return runs;
}

interface TableProps {
  times: readonly number[];
  lines: readonly Line[];
  label: (time: number) => string;
  format: (value: number) => string;
  unit: string;
}

/** At most 60 rows, newest first. */
function Table({ times, lines, label, format, unit }: TableProps) {
  const rows = useMemo(() => {
    const step = Math.max(1, Math.ceil(times.length / 60));
    return times
      .map((time, index) => ({ time, index }))
      .filter(({ index }) => (times.length - 1 - index) % step === 0)
      .reverse();
  }, [times]);
  return (
    <section className="chart-table" tabIndex={0} aria-label="Values of the chart">
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {lines.map((line) => (
              <th key={line.name} scope="col" className="num">
                {line.name}, {unit}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ time, index }) => (
            <tr key={time}>
              <th scope="row">{label(time)}</th>
              {lines.map((line) => (
                <td key={line.name} className="num">
                  {format(line.values[index] ?? 0)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** A line without axes, for a table cell or below a number; the newest value stands beside it as text. */
export function Sparkline({
  values,
  tone,
  width = 96,
  height = 24,
}: {
  values: readonly number[];
  tone: string;
  width?: number;
  height?: number;
}) {
  const max = Math.max(...values, 0);
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const points = values
    .map(
      (value, index) =>
        `${(index * step).toFixed(1)},${(height - 1.5 - (max ? value / max : 0) * (height - 3)).toFixed(1)}`,
    )
    .join("L");
  return (
    <svg
      className="sparkline"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      width={width}
      height={height}
      aria-hidden="true"
    >
      {values.length > 1 && max > 0 ? (
        <path d={`M${points}`} className={`line ${tone}`} />
      ) : (
        <line x1="0" x2={width} y1={height - 1.5} y2={height - 1.5} className="line c-none" />
      )}
    </svg>
  );
}
