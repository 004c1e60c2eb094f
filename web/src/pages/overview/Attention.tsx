// The list of problems that need a person, the worst kind first; a line says so when there are none.

import type { ReactNode } from "react";
import { getServerInfo } from "../../api/calls";
import type { QueueStats, Worker } from "../../api/model";
import { useFetched } from "../../live/hooks";
import { href } from "../../nav/router";
import { Icon, type IconName } from "../../ui/basics";
import { count, duration, plural } from "../../ui/format";

const LATE_MS = 60_000;
/** Queues shown of a kind: a hundred of one kind must not hide the one of another. */
const SHOWN_MAX = 3;

export type Kind = "unreadable" | "orphan" | "late" | "dead" | "paused";

/** The queues that need a person, by kind of problem, worst first. A queue without workers is not listed as late, too. */
export function troubled(
  queues: readonly QueueStats[],
  workers: readonly Worker[] | undefined,
): Record<Kind, QueueStats[]> {
  const served = new Set(
    workers?.filter((one) => one.connected).flatMap((one) => one.queues.map((queue) => queue.queue)),
  );
  const orphan = workers ? queues.filter((queue) => queue.ready > 0 && !served.has(queue.name)) : [];
  const known = new Set(orphan);
  const by = (value: (queue: QueueStats) => number) => (a: QueueStats, b: QueueStats) => value(b) - value(a);
  return {
    unreadable: queues.filter((queue) => queue.unreadable > 0).sort(by((queue) => queue.unreadable)),
    orphan: orphan.sort(by((queue) => queue.ready)),
    late: queues
      .filter((queue) => !queue.paused && queue.oldestReadyMs > LATE_MS && !known.has(queue))
      .sort(by((queue) => queue.oldestReadyMs)),
    dead: queues.filter((queue) => queue.dead > 0).sort(by((queue) => queue.dead)),
    paused: queues.filter((queue) => queue.paused).sort(by((queue) => queue.ready)),
  };
}

const KINDS: Record<Kind, { icon: IconName; many: string; text: (queue: QueueStats) => ReactNode }> = {
  unreadable: {
    icon: "dead",
    many: "with jobs that cannot be read",
    text: (queue) => (
      <>
        {plural(queue.unreadable, "job")} of <QueueLink name={queue.name} /> cannot be read and{" "}
        {queue.unreadable === 1 ? "is" : "are"} set aside: <code>relay doctor</code> says which
      </>
    ),
  },
  orphan: {
    icon: "workers",
    many: "without a worker",
    text: (queue) => (
      <>
        No worker claims from <QueueLink name={queue.name} />: {plural(queue.ready, "job")}{" "}
        {queue.ready === 1 ? "waits" : "wait"}
      </>
    ),
  },
  late: {
    icon: "queues",
    many: "behind",
    text: (queue) => (
      <>
        <QueueLink name={queue.name} /> is behind: its oldest job waits for {duration(queue.oldestReadyMs)}
      </>
    ),
  },
  dead: {
    icon: "dead",
    many: "with dead letters",
    text: (queue) => (
      <>
        <a href={href(["dead"], { queue: queue.name })}>{plural(queue.dead, "dead letter")}</a> in{" "}
        <QueueLink name={queue.name} />
      </>
    ),
  },
  paused: {
    icon: "pause",
    many: "paused",
    text: (queue) => (
      <>
        <QueueLink name={queue.name} /> is paused, {count(queue.ready)} ready
      </>
    ),
  },
};

function QueueLink({ name }: { name: string }) {
  return <a href={href(["queues", name])}>{name}</a>;
}

export function Attention({
  queues,
  workers,
}: {
  queues: readonly QueueStats[];
  workers: readonly Worker[] | undefined;
}) {
  const server = useFetched("server", getServerInfo, 30_000);
  const warnings = server.data?.store.warnings ?? [];
  const found = troubled(queues, workers);
  const kinds = (Object.keys(KINDS) as Kind[]).filter((kind) => found[kind].length > 0);
  if (kinds.length === 0 && warnings.length === 0)
    return <p className="all-well">Nothing. Work flows; nothing is dead, paused or late.</p>;
  return (
    <ul className="notes">
      {warnings.map((text) => (
        <li key={text}>
          <Icon name="server" />
          <span>{text}</span>
        </li>
      ))}
      {kinds.map((kind) => (
        <KindNotes key={kind} kind={kind} queues={found[kind]} />
      ))}
    </ul>
  );
}

function KindNotes({ kind, queues }: { kind: Kind; queues: readonly QueueStats[] }) {
  const { icon, text, many } = KINDS[kind];
  const more = queues.length - SHOWN_MAX;
  return (
    <>
      {queues.slice(0, SHOWN_MAX).map((queue) => (
        <li key={queue.name}>
          <Icon name={icon} />
          <span>{text(queue)}</span>
        </li>
      ))}
      {more > 0 && (
        <li className="muted more-notes">
          and {plural(more, "queue")} more {many}
        </li>
      )}
    </>
  );
}
