// Queues: one row each, in an order that does not change by itself.

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useRef, useState } from "react";
import type { QueueStats } from "../../api/model";
import { useLive, useLiveParts } from "../../live/hooks";
import { href, replace } from "../../nav/router";
import { Button, Empty, Icon, Loading } from "../../ui/basics";
import { Sparkline } from "../../ui/Chart";
import { compact, duration, plural, rate } from "../../ui/format";
import { StateBar } from "../../ui/StateBar";
import { toDrain } from "./drain";
import { usePause } from "./usePause";

const SORTS = {
  name: "Name",
  ready: "Most ready",
  dead: "Most dead",
  oldest: "Longest wait",
} as const;
type Sort = keyof typeof SORTS;
const ROW_PX = 56;

export function sorted(queues: readonly QueueStats[], sort: Sort): QueueStats[] {
  const value = {
    name: () => 0,
    ready: (q: QueueStats) => q.ready,
    dead: (q: QueueStats) => q.dead,
    oldest: (q: QueueStats) => q.oldestReadyMs,
  }[sort];
  return [...queues].sort((a, b) => value(b) - value(a) || a.name.localeCompare(b.name));
}

export function QueuesPage({ filter, sort: asked }: { filter: string; sort: string }) {
  const sort: Sort = asked in SORTS ? (asked as Sort) : "name";
  const snapshot = useLive((state) => state.snapshot);
  if (!snapshot) return <Loading rows={8} />;
  const set = (q: string, s: string) => replace(href(["queues"], { q, sort: s === "name" ? "" : s }));
  return (
    <>
      <div className="page-head">
        <h1>Queues</h1>
        <search className="filters">
          <label className="search">
            <Icon name="search" />
            <input
              data-search
              type="search"
              placeholder="Name contains"
              aria-label="Name contains"
              value={filter}
              onChange={(event) => set(event.target.value, sort)}
            />
          </label>
          <label>
            <span className="visually-hidden">Order</span>
            <select value={sort} onChange={(event) => set(filter, event.target.value)}>
              {Object.entries(SORTS).map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
        </search>
      </div>
      <Rows key={`${sort} ${filter}`} sort={sort} filter={filter} />
    </>
  );
}

function Rows({ sort, filter }: { sort: Sort; filter: string }) {
  const byName = useLive((state) => state.byName);
  const matching = [...byName.values()].filter((queue) =>
    queue.name.toLowerCase().includes(filter.toLowerCase()),
  );
  // The order is taken once: live numbers must not move a row under the pointer. New queues come at the end.
  const [order, setOrder] = useState(() => sorted(matching, sort).map((queue) => queue.name));
  const known = new Set(order);
  const fresh = matching.filter((queue) => !known.has(queue.name));
  const names = [...order.filter((name) => byName.has(name)), ...fresh.map((queue) => queue.name)];
  const wanted = sorted(matching, sort).map((queue) => queue.name);
  const stale = wanted.some((name, index) => names[index] !== name);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: names.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 6,
  });
  if (names.length === 0)
    return (
      <Empty title={filter ? `No queue has “${filter}” in its name` : "No queues yet"}>
        {filter ? "" : "A queue is made by its first job."}
      </Empty>
    );
  return (
    <>
      <div className="list-bar">
        <span className="muted">{plural(names.length, "queue")}</span>
        <span className="spacer" />
        {stale && (
          <Button kind="quiet" icon="retry" onClick={() => setOrder(wanted)}>
            Sort again
          </Button>
        )}
      </div>
      <div
        ref={scroller}
        className="list-scroll"
        role="table"
        aria-label="Queues"
        aria-rowcount={names.length + 1}
      >
        <div role="rowgroup" className="queue-head">
          <div className="queue-row head" role="row" aria-rowindex={1}>
            {["Queue", "States", "Ready", "Oldest", "Done/s", "Drained in", "Dead", "Actions"].map(
              (name, index) => (
                <span key={name} role="columnheader" className={`q${index}`}>
                  {name === "Actions" ? <span className="visually-hidden">Actions</span> : name}
                </span>
              ),
            )}
          </div>
        </div>
        <div className="rows" style={{ height: rows.getTotalSize() }} role="rowgroup">
          {rows.getVirtualItems().map((row) => {
            const queue = byName.get(names[row.index] ?? "");
            return queue && <Row key={queue.name} queue={queue} index={row.index} start={row.start} />;
          })}
        </div>
      </div>
    </>
  );
}

const Row = memo(function Row({ queue, index, start }: { queue: QueueStats; index: number; start: number }) {
  return (
    <div
      className="queue-row"
      role="row"
      aria-rowindex={index + 2}
      style={{ transform: `translateY(${start}px)` }}
    >
      <span role="cell" className="q0">
        <a href={href(["queues", queue.name])} className="clip">
          {queue.name}
        </a>
        {queue.paused && <span className="tag">Paused</span>}
      </span>
      <span role="cell" className="q1">
        <StateBar queue={queue} />
      </span>
      <span role="cell" className="q2 num" data-label="ready">
        {compact(queue.ready)}
      </span>
      <span role="cell" className="q3 num" data-label="oldest">
        {queue.ready ? duration(queue.oldestReadyMs) : "–"}
      </span>
      <Moving queue={queue} />
      <span role="cell" className="q6 num" data-label="dead">
        {queue.dead ? <a href={href(["dead"], { queue: queue.name })}>{compact(queue.dead)}</a> : "0"}
      </span>
      <span role="cell" className="q7">
        <PauseButton queue={queue} />
      </span>
    </div>
  );
});

/** The cells that change with time even when the queue does not. */
function Moving({ queue }: { queue: QueueStats }) {
  useLive((state) => state.tick);
  const { store } = useLiveParts();
  const series = store.series(queue.name);
  return (
    <>
      <span role="cell" className="q4 num" data-label="done/s">
        <Sparkline
          values={series.last(60).map((sample) => sample.acked)}
          tone="c-done"
          width={64}
          height={20}
        />{" "}
        {rate(series.mean("acked"))}
      </span>
      <span role="cell" className="q5 num" data-label="drained in">
        {toDrain(queue, series)}
      </span>
    </>
  );
}

function PauseButton({ queue }: { queue: QueueStats }) {
  const { busy, toggle } = usePause(queue);
  return (
    <Button
      kind="quiet"
      icon={queue.paused ? "play" : "pause"}
      disabled={busy}
      onClick={toggle}
      aria-label={`${queue.paused ? "Resume" : "Pause"} ${queue.name}`}
      title={queue.paused ? "Resume" : "Pause"}
    />
  );
}
