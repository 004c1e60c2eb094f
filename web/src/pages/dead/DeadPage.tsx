// Dead letters: grouped by error, over all queues or in one, and the list behind a group.

import { useState } from "react";
import { type BulkAction, groupDead, type Selection } from "../../api/calls";
import type { DeadGroup, DeadGroups } from "../../api/model";
import { BulkDialog } from "../../jobs/BulkDialog";
import { JobList } from "../../jobs/JobList";
import { useFetched, useLive } from "../../live/hooks";
import { href, replace } from "../../nav/router";
import { Ago, Button, Choice, Empty, Failed, Icon, Loading } from "../../ui/basics";
import { count, plural } from "../../ui/format";
import { QueuePicker } from "../jobs/QueuePicker";

/** Groups are asked for queue by queue: these many with the most dead letters. */
const QUEUES_MAX = 20;

interface Props {
  queue: string;
  type: string;
  errorType: string;
  list: boolean;
}

export function DeadPage({ queue, type, errorType, list }: Props) {
  const snapshot = useLive((state) => state.snapshot);
  if (!snapshot) return <Loading rows={8} />;
  const total = queue
    ? (snapshot.queues.find((one) => one.name === queue)?.dead ?? 0)
    : snapshot.queues.reduce((sum, one) => sum + one.dead, 0);
  const listed = list && queue !== "";
  return (
    <>
      <div className="page-head">
        <div>
          <h1>Dead letters</h1>
          <p className="muted">{plural(total, "job")} failed for good and wait for a decision.</p>
        </div>
        {queue !== "" && (
          <Choice
            label="View"
            value={listed ? "list" : "groups"}
            onChange={(view) =>
              replace(href(["dead"], { queue, type, error: errorType, view: view === "list" ? view : "" }))
            }
            options={[
              ["groups", "By error"],
              ["list", "One by one"],
            ]}
          />
        )}
      </div>
      <search className="filters">
        <QueuePicker
          value={queue}
          none="All queues"
          onChange={(value) => replace(href(["dead"], { queue: value }))}
        />
        {(type || errorType) && (
          <span className="chips">
            {[
              ["type", type],
              ["error", errorType],
            ].map(
              ([name, value]) =>
                value && (
                  <span key={name} className="chip">
                    {name}: <b className="clip">{value}</b>
                  </span>
                ),
            )}
            <Button
              kind="quiet"
              icon="close"
              onClick={() => replace(href(["dead"], { queue, view: "list" }))}
            >
              Clear filters
            </Button>
          </span>
        )}
      </search>
      {listed ? <JobList query={{ queue, state: "dead", type, errorType }} /> : <Groups queue={queue} />}
    </>
  );
}

interface AllGroups {
  groups: DeadGroup[];
  counted: number;
  total: number;
  /** Queues with dead letters that were not asked. */
  left: number;
}

async function allGroups(names: readonly string[], signal: AbortSignal): Promise<AllGroups> {
  const asked = names.slice(0, QUEUES_MAX);
  const all: DeadGroups[] = [];
  for (let at = 0; at < asked.length; at += 4)
    all.push(...(await Promise.all(asked.slice(at, at + 4).map((name) => groupDead(name, signal)))));
  return {
    groups: all.flatMap((one) => one.groups).sort((a, b) => b.count - a.count),
    counted: all.reduce((sum, one) => sum + one.counted, 0),
    total: all.reduce((sum, one) => sum + one.total, 0),
    left: names.length - asked.length,
  };
}

/** The dialog stands beside the groups: they come and go while it works, and it must stay. */
function Groups({ queue }: { queue: string }) {
  const [bulk, setBulk] = useState<Bulk | null>(null);
  const [round, setRound] = useState(0);
  return (
    <>
      <GroupList queue={queue} round={round} still={bulk !== null} start={setBulk} />
      {bulk && (
        <BulkDialog target={bulk} onClose={() => setBulk(null)} onChanged={() => setRound(round + 1)} />
      )}
    </>
  );
}

interface Bulk {
  action: BulkAction;
  queue: string;
  selection: Selection;
}

interface GroupListProps {
  queue: string;
  /** Changes when an action ended and the groups are out of date. */
  round: number;
  still: boolean;
  start: (bulk: Bulk) => void;
}

function GroupList({ queue, round, still, start }: GroupListProps) {
  const queues = useLive((state) => state.snapshot?.queues) ?? [];
  const names = queue
    ? [queue]
    : queues
        .filter((one) => one.dead > 0)
        .sort((a, b) => b.dead - a.dead)
        .map((one) => one.name);
  const found = useFetched(
    `groups ${round} ${queue || [...names].sort().join(" ")}`,
    (signal) => allGroups(names, signal),
    still ? 0 : 5000,
  );
  if (found.error && !found.data) return <Failed error={found.error} retry={found.refetch} />;
  if (!found.data) return <Loading rows={5} />;
  const { groups, counted, total, left } = found.data;
  if (groups.length === 0)
    return (
      <Empty title="No dead letters">
        {queue
          ? `Nothing in ${queue} failed for good.`
          : "Jobs come here when their last attempt fails, or when a worker rejects them."}
      </Empty>
    );
  const act = (action: BulkAction, group: DeadGroup) =>
    start({
      action,
      queue: group.queue,
      selection: { filter: { state: "dead", type: group.type, errorType: group.errorType } },
    });
  return (
    <>
      <div className="list-bar">
        <span className="muted">
          {plural(groups.length, "group")}
          {counted < total && `, of the newest ${count(counted)} of ${count(total)}`}
          {left > 0 && `; ${plural(left, "queue")} more with fewer dead letters`}
        </span>
        <span className="spacer" />
        {queue && (
          <>
            <Button
              icon="retry"
              onClick={() => start({ action: "requeue", queue, selection: { filter: { state: "dead" } } })}
            >
              Requeue all
            </Button>
            <Button
              kind="danger"
              icon="trash"
              onClick={() => start({ action: "purge dead", queue, selection: { filter: { state: "dead" } } })}
            >
              Purge all
            </Button>
          </>
        )}
      </div>
      <ul className="groups">
        {groups.map((group) => (
          <GroupRow
            key={`${group.queue}\0${group.type}\0${group.errorType}`}
            group={group}
            most={groups[0]?.count ?? 1}
            showQueue={!queue}
            act={act}
          />
        ))}
      </ul>
    </>
  );
}

interface RowProps {
  group: DeadGroup;
  most: number;
  showQueue: boolean;
  act: (action: BulkAction, group: DeadGroup) => void;
}

function GroupRow({ group, most, showQueue, act }: RowProps) {
  // A filter cannot ask for "no error type": such a group would take the other groups of its type along.
  const nameless = group.errorType === "";
  const hint = nameless ? "These have no error type to filter by: open them and select" : undefined;
  return (
    <li className="group">
      <span className="group-count">
        <b>{count(group.count)}</b>
        <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
          <rect width={Math.max(2, (group.count / most) * 100)} height="6" className="fill-dead" />
        </svg>
      </span>
      <span className="group-what">
        <a
          href={href(["dead"], {
            queue: group.queue,
            type: group.type,
            error: group.errorType,
            view: "list",
          })}
        >
          {group.errorType || "no error type"}
        </a>
        <span className="muted clip">
          {group.type}
          {showQueue && <> in {group.queue}</>}
        </span>
      </span>
      <span className="group-when muted">
        last <Ago time={group.lastTime} />
        <br />
        first <Ago time={group.firstTime} />
      </span>
      <span className="group-actions">
        <Button
          icon="retry"
          onClick={() => act("requeue", group)}
          disabled={nameless}
          title={hint}
          aria-label={`Requeue ${count(group.count)} with ${group.errorType}`}
        >
          Requeue
        </Button>
        <Button
          kind="danger"
          onClick={() => act("purge dead", group)}
          disabled={nameless}
          title={hint}
          aria-label={`Purge ${count(group.count)} with ${group.errorType}`}
        >
          <Icon name="trash" />
          <span className="wide-only">Purge</span>
        </Button>
      </span>
    </li>
  );
}
