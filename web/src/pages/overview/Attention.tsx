// What a person should look at, worst first; says so when there is nothing.

import type { ReactNode } from "react";
import { getServerInfo } from "../../api/calls";
import type { QueueStats, Worker } from "../../api/model";
import { href } from "../../app/router";
import { useFetched } from "../../live/hooks";
import { Icon, type IconName } from "../../ui/basics";
import { count, duration, plural } from "../../ui/format";

const LATE_MS = 60_000;
const SHOWN_MAX = 8;

interface Note {
  key: string;
  icon: IconName;
  text: ReactNode;
}

export function notes(queues: readonly QueueStats[], workers: readonly Worker[] | undefined): Note[] {
  const link = (name: string) => <a href={href(["queues", name])}>{name}</a>;
  const served = new Set(
    workers?.filter((one) => one.connected).flatMap((one) => one.queues.map((queue) => queue.queue)),
  );
  const orphans = workers ? queues.filter((queue) => queue.ready > 0 && !served.has(queue.name)) : [];
  const late = queues.filter(
    (queue) => !queue.paused && queue.oldestReadyMs > LATE_MS && !orphans.includes(queue),
  );
  return [
    ...orphans.map((queue) => ({
      key: `orphan ${queue.name}`,
      icon: "workers" as const,
      text: (
        <>
          No worker claims from {link(queue.name)}: {plural(queue.ready, "job")} wait
        </>
      ),
    })),
    ...late
      .sort((a, b) => b.oldestReadyMs - a.oldestReadyMs)
      .map((queue) => ({
        key: `late ${queue.name}`,
        icon: "queues" as const,
        text: (
          <>
            {link(queue.name)} is behind: its oldest job waits for {duration(queue.oldestReadyMs)}
          </>
        ),
      })),
    ...queues
      .filter((queue) => queue.dead > 0)
      .sort((a, b) => b.dead - a.dead)
      .map((queue) => ({
        key: `dead ${queue.name}`,
        icon: "dead" as const,
        text: (
          <>
            <a href={href(["dead"], { queue: queue.name })}>{plural(queue.dead, "dead letter")}</a> in{" "}
            {link(queue.name)}
          </>
        ),
      })),
    ...queues
      .filter((queue) => queue.paused)
      .map((queue) => ({
        key: `paused ${queue.name}`,
        icon: "pause" as const,
        text: (
          <>
            {link(queue.name)} is paused, {count(queue.ready)} ready
          </>
        ),
      })),
  ];
}

export function Attention({
  queues,
  workers,
}: {
  queues: readonly QueueStats[];
  workers: readonly Worker[] | undefined;
}) {
  const server = useFetched("server", getServerInfo, 30_000);
  const warnings: Note[] = (server.data?.store.warnings ?? []).map((text) => ({
    key: text,
    icon: "server",
    text,
  }));
  const all = [...warnings, ...notes(queues, workers)];
  if (all.length === 0)
    return <p className="all-well">Nothing. Work flows, nothing is dead, paused or late.</p>;
  return (
    <ul className="notes">
      {all.slice(0, SHOWN_MAX).map((note) => (
        <li key={note.key}>
          <Icon name={note.icon} />
          <span>{note.text}</span>
        </li>
      ))}
      {all.length > SHOWN_MAX && <li className="muted">and {count(all.length - SHOWN_MAX)} more</li>}
    </ul>
  );
}
