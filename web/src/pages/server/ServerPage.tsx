// Server: its store, the durability of the data, its limits, and the timings of its scripts.

import { getServerInfo } from "../../api/calls";
import type { ServerInfo } from "../../api/model";
import { useFetched, useLive } from "../../live/hooks";
import { Ago, Failed, Figure, Icon, Loading, Section } from "../../ui/basics";
import { bytes, compact, count, duration } from "../../ui/format";

const DURABILITY: Record<ServerInfo["store"]["durability"], readonly [string, string]> = {
  always: [
    "Every write",
    "An accepted job survives power loss: each write is on disk before it is answered.",
  ],
  everysec: [
    "Every second",
    "An accepted job survives a kill. Power loss costs the last one or two seconds.",
  ],
  os: ["When the system writes", "An accepted job survives a kill. Power loss costs up to about 30 s."],
  none: ["Nothing", "The store keeps no log: its end loses every job."],
  unknown: ["Not known", "The store does not tell."],
};

export function ServerPage() {
  const server = useFetched("server", getServerInfo, 5000);
  return (
    <>
      <h1>Server</h1>
      {server.error && !server.data && <Failed error={server.error} retry={server.refetch} />}
      {server.loading && <Loading rows={8} />}
      {server.data && <Shown server={server.data} />}
    </>
  );
}

function topology(store: ServerInfo["store"]) {
  if (store.topology === "cluster") return ` in a cluster of ${count(store.primaries)} primary nodes`;
  return store.topology === "sentinel" ? " behind Sentinels" : "";
}

function Shown({ server }: { server: ServerInfo }) {
  const { store, limits } = server;
  const [durability, meaning] = DURABILITY[store.durability] ?? DURABILITY.unknown;
  return (
    <>
      {store.warnings.length > 0 && (
        <ul className="warnings">
          {store.warnings.map((text) => (
            <li key={text}>
              <Icon name="dead" /> {text}
            </li>
          ))}
        </ul>
      )}
      <dl className="figures">
        <Figure label="Relay" value={server.version || "–"} note={`protocol ${server.protocolVersion}`} />
        <Figure
          label="Started"
          value={<Ago time={server.startTime} />}
          note={<code>{server.serverId}</code>}
        />
        <Figure label="Synced to disk" value={durability} />
        <Figure
          label="Memory of the store"
          value={bytes(store.usedMemoryBytes)}
          unit={store.maxMemoryBytes ? `of ${bytes(store.maxMemoryBytes)}` : "no limit"}
        >
          {store.maxMemoryBytes > 0 && (
            <meter
              min={0}
              max={store.maxMemoryBytes}
              value={store.usedMemoryBytes}
              aria-label="Memory of the store"
            />
          )}
        </Figure>
        <Figure label="Claim streams" value={count(server.streams)} unit={`of ${count(limits.streamsMax)}`} />
      </dl>
      <p className="lead">
        {meaning} The store is {store.server} {store.version}
        {topology(store)}, {store.embedded ? "started by this server" : "run by you"}
        {store.format > 0 && `, its data in format ${store.format}`}.
      </p>
      <div className="columns">
        <Section title="Scripts" aside={<span className="muted">as seen from this server</span>}>
          <Scripts server={server} />
        </Section>
        <div>
          <Section title="Limits">
            <Limits server={server} />
          </Section>
          <Section title="This page">
            <PageCost />
          </Section>
        </div>
      </div>
    </>
  );
}

function Scripts({ server }: { server: ServerInfo }) {
  const used = server.scripts.filter((script) => script.calls > 0);
  if (used.length === 0) return <p className="muted">None has run yet.</p>;
  return (
    <table className="plain">
      <thead>
        <tr>
          <th scope="col">Script</th>
          <th scope="col" className="num">
            Calls
          </th>
          <th scope="col" className="num">
            Jobs
          </th>
          <th scope="col" className="num">
            Mean
          </th>
          <th scope="col" className="num">
            Longest
          </th>
        </tr>
      </thead>
      <tbody>
        {used.map((script) => (
          <tr key={script.name}>
            <th scope="row">
              <code>{script.name}</code>
            </th>
            <td className="num">{compact(script.calls)}</td>
            <td className="num">{compact(script.jobs)}</td>
            <td className="num">{milliseconds(script.meanMs)}</td>
            <td className="num">{milliseconds(script.maxMs)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** One unit in the whole column, so that it can be compared at a glance. */
const milliseconds = (ms: number) => `${ms < 100 ? ms.toFixed(ms < 10 ? 2 : 1) : count(ms)} ms`;

function Limits({ server: { limits } }: { server: ServerInfo }) {
  const rows: readonly (readonly [string, string])[] = [
    ["Payload of a job", bytes(limits.payloadBytesMax)],
    ["Jobs of a batch", count(limits.batchJobsMax)],
    ["Size of a batch", bytes(limits.batchBytesMax)],
    ["Jobs in flight of a session", count(limits.maxInFlightMax)],
    ["Lease", `${duration(limits.leaseMinMs)} to ${duration(limits.leaseMaxMs)}`],
  ];
  return (
    <table className="plain">
      <tbody>
        {rows.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td className="num">{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function PageCost() {
  const frames = useLive((state) => state.frames);
  const kept = useLive((state) => state.bytes);
  return (
    <p className="muted">
      One stream feeds it: {count(frames)} snapshots, {bytes(kept)}
      {frames > 0 && `, ${bytes(Math.round(kept / frames))} each`}.
    </p>
  );
}
