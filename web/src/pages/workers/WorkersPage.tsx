// Workers: their sessions, how full they are, and which of them are silent.

import { listWorkers } from "../../api/calls";
import type { Worker, Workers } from "../../api/model";
import { useFetched } from "../../live/hooks";
import { href } from "../../nav/router";
import { Ago, Empty, Failed, Figure, Loading } from "../../ui/basics";
import { count, plural } from "../../ui/format";

/** Heartbeats come at least every few seconds. */
const SILENT_MS = 20_000;

export function WorkersPage() {
  const workers = useFetched("workers", listWorkers, 2000);
  return (
    <>
      <h1>Workers</h1>
      {workers.error && !workers.data && <Failed error={workers.error} retry={workers.refetch} />}
      {workers.loading && <Loading rows={6} />}
      {workers.data && <Shown workers={workers.data} at={workers.at} />}
    </>
  );
}

function Shown({ workers: { sessions: workers, more }, at }: { workers: Workers; at: number }) {
  if (workers.length === 0)
    return (
      <Empty title="No worker was seen in the last minute">
        Jobs wait until one comes:
        <code className="block">relay-worker myapp:jobs --queue emails</code>
      </Empty>
    );
  const connected = workers.filter((worker) => worker.connected);
  const busy = workers.reduce((sum, worker) => sum + worker.inFlight, 0);
  const slots = connected.reduce((sum, worker) => sum + worker.maxInFlight, 0);
  const versions = new Set(workers.map((worker) => worker.clientVersion || "not told"));
  return (
    <>
      <dl className="figures">
        <Figure label="Connected" value={count(connected.length)} unit={`of ${count(workers.length)} seen`} />
        <Figure label="Busy slots" value={count(busy)} unit={`of ${count(slots)}`}>
          <meter min={0} max={slots || 1} value={busy} aria-label="Busy slots" />
        </Figure>
        <Figure
          label="Versions"
          value={count(versions.size)}
          note={versions.size > 1 ? [...versions].join(", ") : [...versions][0]}
        />
      </dl>
      <section className="table-scroll" tabIndex={0} aria-label="Sessions of workers">
        <table className="plain cards">
          <thead>
            <tr>
              <th scope="col">Worker</th>
              <th scope="col">State</th>
              <th scope="col">In flight</th>
              <th scope="col">Queues</th>
              <th scope="col">Seen</th>
              <th scope="col">Connected</th>
              <th scope="col">Version</th>
            </tr>
          </thead>
          <tbody>
            {workers.map((worker) => (
              <Row key={worker.sessionId} worker={worker} at={at} />
            ))}
          </tbody>
        </table>
      </section>
      <p className="muted">
        {more ? "The first " : ""}
        {plural(workers.length, "session")}, on all servers.{more && " All of them: relay workers"}
      </p>
    </>
  );
}

function Row({ worker, at }: { worker: Worker; at: number }) {
  const silent = at - worker.seenTime > SILENT_MS;
  const state = worker.connected ? (silent ? "silent" : "connected") : "gone, may come back";
  return (
    <tr>
      <th scope="row" data-label="Worker">
        <span className="clip" title={worker.sessionId}>
          {worker.workerId || "unnamed"}
        </span>
      </th>
      <td data-label="State">
        <span className={`worker-state ${worker.connected && !silent ? "well" : "ill"}`}>
          <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
            {worker.connected && !silent ? <circle cx="5" cy="5" r="4" /> : <path d="M5 1l4.2 8H.8z" />}
          </svg>
          {state}
        </span>
      </td>
      <td data-label="In flight">
        <span className="slots">
          <meter
            min={0}
            max={worker.maxInFlight || 1}
            value={worker.inFlight}
            aria-label={`${worker.inFlight} of ${worker.maxInFlight} slots busy`}
          />
          <span className="num">
            {count(worker.inFlight)}/{count(worker.maxInFlight)}
          </span>
        </span>
      </td>
      <td data-label="Queues">
        <span className="queue-links">
          {worker.queues.map((one) => (
            <a key={one.queue} href={href(["queues", one.queue])}>
              {one.queue}
              {one.weight > 1 && <span className="muted"> ×{one.weight}</span>}
            </a>
          ))}
        </span>
      </td>
      <td data-label="Seen">
        <Ago time={worker.seenTime} />
      </td>
      <td data-label="Connected">
        <Ago time={worker.connectTime} />
      </td>
      <td data-label="Version">{worker.clientVersion || "–"}</td>
    </tr>
  );
}
