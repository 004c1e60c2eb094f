// Overview: does work flow, does it keep up, and which queues need a person?

import { useState } from "react";
import { getHistory, listWorkers } from "../../api/calls";
import type { HistoryBucket, QueueStats, Workers } from "../../api/model";
import { useFetched, useLive, useLiveParts } from "../../live/hooks";
import { liveSpan } from "../../live/series";
import { href } from "../../nav/router";
import { Choice, Empty, Figure, Loading, Section } from "../../ui/basics";
import { Chart, Sparkline } from "../../ui/Chart";
import { compact, count, duration, plural, rate } from "../../ui/format";
import { StateBar } from "../../ui/StateBar";
import { Attention } from "./Attention";
import { addUp, busiest } from "./history";

/** Histories that are fetched for the picture of the last hours: the queues that moved most jobs. */
const HISTORY_QUEUES_MAX = 40;

export function OverviewPage() {
  const snapshot = useLive((state) => state.snapshot);
  const totals = useLive((state) => state.totals);
  const down = useLive((state) => state.connection.phase === "down");
  const workers = useFetched("workers", listWorkers, 5000);
  if (!snapshot)
    return down ? (
      <Empty whole title="No numbers yet">
        They come as soon as the server answers.
      </Empty>
    ) : (
      <Loading rows={8} />
    );
  return (
    <>
      <h1>Overview</h1>
      {totals ? (
        <>
          <Figures totals={totals} workers={workers.data} />
          <Throughput queues={snapshot.queues} />
          <div className="columns">
            <Section
              title="Busiest queues"
              aside={<a href={href(["queues"])}>All {count(snapshot.queues.length)}</a>}
            >
              <Busiest queues={snapshot.queues} />
            </Section>
            <Section title="Needs attention">
              <Attention
                queues={snapshot.queues}
                workers={workers.data?.more ? undefined : workers.data?.sessions}
              />
            </Section>
          </div>
        </>
      ) : (
        <FirstSteps />
      )}
    </>
  );
}

function Figures({ totals, workers: known }: { totals: QueueStats; workers: Workers | undefined }) {
  useLive((state) => state.tick);
  const { store } = useLiveParts();
  const series = store.total;
  const samples = series.last(60);
  const workers = known?.sessions;
  const busy = workers?.reduce((sum, worker) => sum + worker.inFlight, 0) ?? 0;
  const slots =
    workers?.filter((worker) => worker.connected).reduce((sum, worker) => sum + worker.maxInFlight, 0) ?? 0;
  const values = (key: "enqueued" | "acked" | "failed" | "ready") => samples.map((sample) => sample[key]);
  return (
    <dl className="figures">
      <Figure
        label="Enqueued"
        value={<span data-figure="enqueued">{rate(series.mean("enqueued"))}</span>}
        unit="jobs/s"
      >
        <Sparkline values={values("enqueued")} tone="c-in" />
      </Figure>
      <Figure
        label="Finished"
        value={<span data-figure="acked">{rate(series.mean("acked"))}</span>}
        unit="jobs/s"
      >
        <Sparkline values={values("acked")} tone="c-done" />
      </Figure>
      <Figure
        label="Failed"
        value={<span data-figure="failed">{rate(series.mean("failed"))}</span>}
        unit="/s"
      >
        <Sparkline values={values("failed")} tone="c-failed" />
      </Figure>
      <Figure label="Ready" value={<span data-figure="ready">{compact(totals.ready)}</span>} unit="jobs">
        <Sparkline values={values("ready")} tone="c-ready" />
      </Figure>
      <Figure
        label="Oldest ready"
        value={totals.ready ? duration(totals.oldestReadyMs) : "–"}
        note={totals.delayed ? `${compact(totals.delayed)} delayed` : ""}
      />
      <Figure
        label="Busy slots"
        value={workers ? count(busy) : "–"}
        unit={workers ? `of ${compact(slots)}` : ""}
        note={workers ? `${known?.more ? "the first " : ""}${plural(workers.length, "worker")}` : ""}
      >
        <meter min={0} max={slots || 1} value={busy} aria-label="Busy slots" />
      </Figure>
    </dl>
  );
}

type Span = "live" | "1h" | "24h";

function Throughput({ queues }: { queues: readonly QueueStats[] }) {
  const [span, setSpan] = useState<Span>("live");
  return (
    <Section
      title="Throughput"
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
        <LiveChart />
      ) : (
        <PastChart key={span} queues={queues} hours={span === "1h" ? 1 : 24} />
      )}
    </Section>
  );
}

function LiveChart() {
  useLive((state) => state.tick);
  const { store } = useLiveParts();
  const samples = store.total.last();
  return (
    <Chart
      label="Jobs of all queues"
      unit="jobs/s"
      times={samples.map((sample) => sample.time)}
      spanMs={liveSpan(samples)}
      gapMs={10_000}
      format={rate}
      lines={[
        { name: "Enqueued", tone: "c-in", dash: "dashed", values: samples.map((sample) => sample.enqueued) },
        { name: "Finished", tone: "c-done", filled: true, values: samples.map((sample) => sample.acked) },
        { name: "Failed", tone: "c-failed", dash: "dotted", values: samples.map((sample) => sample.failed) },
      ]}
    />
  );
}

function PastChart({ queues, hours }: { queues: readonly QueueStats[]; hours: number }) {
  const [names] = useState(() => busiest(queues, HISTORY_QUEUES_MAX));
  const past = useFetched(
    `history ${hours}`,
    async (signal) => {
      const all: HistoryBucket[][] = [];
      // Four at a time, so that the live stream is not delayed.
      for (let at = 0; at < names.length; at += 4)
        all.push(
          ...(await Promise.all(
            names.slice(at, at + 4).map((name) => getHistory(name, hours * 3600, signal)),
          )),
        );
      return addUp(all);
    },
    60_000,
  );
  if (!past.data) return <Loading rows={4} />;
  const buckets = past.data;
  const perMinute = (key: "enqueued" | "acked" | "failed") => buckets.map((bucket) => bucket[key]);
  return (
    <>
      <Chart
        label={names.length < queues.length ? `The ${names.length} busiest queues` : "All queues"}
        unit="jobs/min"
        times={buckets.map((bucket) => bucket.time)}
        spanMs={hours * 3_600_000}
        gapMs={150_000}
        lines={[
          { name: "Enqueued", tone: "c-in", dash: "dashed", values: perMinute("enqueued") },
          { name: "Finished", tone: "c-done", filled: true, values: perMinute("acked") },
          { name: "Failed", tone: "c-failed", dash: "dotted", values: perMinute("failed") },
        ]}
      />
      <p className="muted">Kept by the server. Gaps are minutes in which no server ran.</p>
    </>
  );
}

function Busiest({ queues }: { queues: readonly QueueStats[] }) {
  useLive((state) => state.tick);
  const { store } = useLiveParts();
  const [names] = useState(() => busiest(queues, 8));
  const byName = useLive((state) => state.byName);
  return (
    <table className="plain">
      <thead>
        <tr>
          <th scope="col">Queue</th>
          <th scope="col">States</th>
          <th scope="col" className="num">
            Done/s
          </th>
          <th scope="col" className="num">
            Ready
          </th>
        </tr>
      </thead>
      <tbody>
        {names.map((name) => {
          const queue = byName.get(name);
          return (
            queue && (
              <tr key={name}>
                <th scope="row">
                  <a href={href(["queues", name])} className="clip">
                    {name}
                  </a>
                </th>
                <td>
                  <StateBar queue={queue} width={110} />
                </td>
                <td className="num">{rate(store.series(name).mean("acked"))}</td>
                <td className="num">{compact(queue.ready)}</td>
              </tr>
            )
          );
        })}
      </tbody>
    </table>
  );
}

function FirstSteps() {
  return (
    <Empty title="No queues yet">
      A queue is made by its first job. Send one:
      <code className="block">relay enqueue emails demo.ok '{'{"ms": 20}'}'</code>
    </Empty>
  );
}
