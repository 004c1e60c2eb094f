// One queue: now, the last 24 hours, its settings, and its actions.

import { useState } from "react";
import { getHistory, getQueue } from "../../api/calls";
import { JOB_STATES, type QueueStats } from "../../api/model";
import { BulkDialog } from "../../jobs/BulkDialog";
import { useFetched, useLive, useLiveParts } from "../../live/hooks";
import { liveSpan } from "../../live/series";
import { href } from "../../nav/router";
import {
  Button,
  Choice,
  Empty,
  Failed,
  Figure,
  Icon,
  Loading,
  Section,
  STATE_NAME,
  StateMark,
} from "../../ui/basics";
import { Chart } from "../../ui/Chart";
import { compact, count, duration, rate } from "../../ui/format";
import { StateBar } from "../../ui/StateBar";
import { useWidth } from "../../ui/useWidth";
import { toDrain } from "../queues/drain";
import { usePause } from "../queues/usePause";
import { Settings } from "./Settings";

export function QueuePage({ name }: { name: string }) {
  const loaded = useLive((state) => state.snapshot !== null);
  const queue = useLive((state) => state.byName.get(name));
  const [purge, setPurge] = useState(false);
  const settings = useFetched(`queue ${name}`, (signal) => getQueue(name, signal), 30_000);
  if (!loaded) return <Loading rows={8} />;
  if (!queue)
    return (
      <Empty whole title={`There is no queue “${name}”`}>
        It may have been forgotten, or never had a job. <a href={href(["queues"])}>All queues</a>
      </Empty>
    );
  return (
    <>
      <div className="page-head">
        <div>
          <a className="crumb" href={href(["queues"])}>
            <Icon name="back" /> Queues
          </a>
          <h1>
            {name} {queue.paused && <span className="tag">Paused</span>}
          </h1>
        </div>
        <div className="actions">
          <PauseAction queue={queue} />
          <Button
            kind="danger"
            icon="trash"
            onClick={() => setPurge(true)}
            disabled={queue.ready + queue.delayed === 0}
          >
            Purge
          </Button>
        </div>
      </div>
      <States queue={queue} />
      <Past name={name} />
      <div className="columns">
        <Section title="Settings">
          {settings.error && !settings.data && <Failed error={settings.error} retry={settings.refetch} />}
          {settings.loading && <Loading rows={5} />}
          {settings.data && <Settings queue={settings.data} onSaved={settings.refetch} />}
        </Section>
        <Section title="Since it was made">
          <Totals queue={queue} />
        </Section>
      </div>
      {purge && (
        <BulkDialog
          target={{ action: "purge queue", queue: name, selection: { ids: [] } }}
          onClose={() => setPurge(false)}
          onChanged={() => {}}
        />
      )}
    </>
  );
}

function PauseAction({ queue }: { queue: QueueStats }) {
  const { busy, toggle } = usePause(queue);
  return (
    <Button
      icon={queue.paused ? "play" : "pause"}
      kind={queue.paused ? "primary" : undefined}
      onClick={toggle}
      disabled={busy}
    >
      {queue.paused ? "Resume" : "Pause"}
    </Button>
  );
}

function States({ queue }: { queue: QueueStats }) {
  useLive((state) => state.tick);
  const { store } = useLiveParts();
  const series = store.series(queue.name);
  const [box, width] = useWidth(320);
  return (
    <>
      <dl className="figures">
        {JOB_STATES.map((state) => (
          <Figure
            key={state}
            label={STATE_NAME[state]}
            value={
              <a
                href={
                  state === "dead"
                    ? href(["dead"], { queue: queue.name })
                    : href(["jobs"], { queue: queue.name, state })
                }
                data-figure={state}
              >
                {compact(queue[state])}
              </a>
            }
            note={<StateMark state={state} />}
          />
        ))}
        <Figure label="Oldest ready" value={queue.ready ? duration(queue.oldestReadyMs) : "–"} />
        <Figure
          label="Drained in"
          value={toDrain(queue, series)}
          note={`${rate(series.mean("acked"))} done/s`}
        />
      </dl>
      <div ref={box}>
        <StateBar queue={queue} width={width} />
      </div>
    </>
  );
}

type Span = "live" | "1h" | "24h";

function Past({ name }: { name: string }) {
  const [span, setSpan] = useState<Span>("1h");
  return (
    <Section
      title="History"
      aside={
        <Choice
          label="Time shown"
          value={span}
          onChange={setSpan}
          options={[
            ["live", "Live"],
            ["1h", "1 h"],
            ["24h", "24 h"],
          ]}
        />
      }
    >
      {span === "live" ? (
        <LiveCharts name={name} />
      ) : (
        <HistoryCharts key={span} name={name} hours={span === "1h" ? 1 : 24} />
      )}
    </Section>
  );
}

function LiveCharts({ name }: { name: string }) {
  useLive((state) => state.tick);
  const { store } = useLiveParts();
  const samples = store.series(name).last();
  const values = (key: "enqueued" | "acked" | "failed" | "ready" | "inflight") =>
    samples.map((sample) => sample[key]);
  const common = {
    times: samples.map((sample) => sample.time),
    spanMs: liveSpan(samples),
    gapMs: 10_000,
    height: 180,
  };
  return (
    <div className="charts">
      <Chart {...common} label="Throughput" unit="jobs/s" format={rate} lines={throughput(values)} />
      <Chart {...common} label="Depth" unit="jobs" lines={depth(values)} />
    </div>
  );
}

function HistoryCharts({ name, hours }: { name: string; hours: number }) {
  const past = useFetched(
    `history ${name} ${hours}`,
    (signal) => getHistory(name, hours * 3600, signal),
    30_000,
  );
  if (past.error && !past.data) return <Failed error={past.error} retry={past.refetch} />;
  if (!past.data) return <Loading rows={4} />;
  const buckets = past.data;
  const values = (key: "enqueued" | "acked" | "failed" | "ready" | "inflight") =>
    buckets.map((bucket) => bucket[key]);
  const common = {
    times: buckets.map((bucket) => bucket.time),
    spanMs: hours * 3_600_000,
    gapMs: 150_000,
    height: 180,
  };
  return (
    <div className="charts">
      <Chart {...common} label="Throughput" unit="jobs/min" lines={throughput(values)} />
      <Chart {...common} label="Depth" unit="jobs" lines={depth(values)} />
    </div>
  );
}

type Values = (key: "enqueued" | "acked" | "failed" | "ready" | "inflight") => number[];

const throughput = (values: Values) =>
  [
    { name: "Enqueued", tone: "c-in", dash: "dashed", values: values("enqueued") },
    { name: "Finished", tone: "c-done", filled: true, values: values("acked") },
    { name: "Failed", tone: "c-failed", dash: "dotted", values: values("failed") },
  ] as const;

const depth = (values: Values) =>
  [
    { name: "Ready", tone: "c-ready", filled: true, values: values("ready") },
    { name: "In flight", tone: "c-inflight", dash: "dashed", values: values("inflight") },
  ] as const;

function Totals({ queue: { counters } }: { queue: QueueStats }) {
  const rows: readonly (readonly [string, number])[] = [
    ["Enqueued", counters.enqueued],
    ["Found duplicate", counters.deduplicated],
    ["Claimed", counters.claimed],
    ["Finished", counters.acked],
    ["Failed and retried", counters.retried],
    ["Given back by workers", counters.released],
    ["Leases that ran out", counters.expired],
    ["Buried", counters.dead],
    ["Requeued", counters.requeued],
    ["Cancelled", counters.cancelled],
    ["Purged", counters.purged],
    ["Late settles refused", counters.stale],
    ...(counters.unreadable > 0 ? [["Set aside, unreadable", counters.unreadable] as const] : []),
  ];
  return (
    <table className="plain">
      <tbody>
        {rows.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td className="num">{count(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
