// Jobs: one queue, one state, filters in the URL. An id goes to the job itself, in whichever queue it is.

import { type FormEvent, useId, useState } from "react";
import { getJob } from "../../api/calls";
import { ApiError, CODE } from "../../api/http";
import { JOB_STATES, type JobState } from "../../api/model";
import { JobList } from "../../jobs/JobList";
import { useLive } from "../../live/hooks";
import { go, href, replace } from "../../nav/router";
import { Button, Empty, Icon, Loading, STATE_NAME, StateMark, words } from "../../ui/basics";
import { compact } from "../../ui/format";
import { QueuePicker } from "./QueuePicker";

interface Filters {
  queue: string;
  state: string;
  type: string;
  id: string;
}

export function JobsPage({ queue, state: asked, type, id }: Filters) {
  const snapshot = useLive((state) => state.snapshot);
  const state: JobState = (JOB_STATES as readonly string[]).includes(asked) ? (asked as JobState) : "ready";
  if (!snapshot) return <Loading rows={8} />;
  const names = snapshot.queues.map((one) => one.name);
  const only = names.length === 1 ? (names[0] ?? "") : "";
  const chosen = queue || only;
  const set = (change: Partial<Filters>) =>
    replace(href(["jobs"], { queue: chosen, state, type, ...change }));
  return (
    <>
      <div className="page-head">
        <h1>Jobs</h1>
      </div>
      <search className="filters">
        <QueuePicker value={chosen} onChange={(value) => set({ queue: value })} />
        <TypeFilter key={type} value={type} onChange={(value) => set({ type: value })} />
        <IdSearch start={id} queues={chosen ? [chosen, ...names.filter((name) => name !== chosen)] : names} />
      </search>
      {chosen ? (
        <>
          <StateTabs queue={chosen} state={state} onChange={(value) => set({ state: value })} />
          <JobList query={{ queue: chosen, state, type, errorType: "" }} />
        </>
      ) : (
        <Empty title={names.length > 0 ? "Choose a queue" : "No queues yet"}>
          {names.length > 0
            ? "Jobs are listed queue by queue. An id is found in all of them."
            : "A queue is made by its first job."}
        </Empty>
      )}
    </>
  );
}

function StateTabs({
  queue,
  state,
  onChange,
}: {
  queue: string;
  state: JobState;
  onChange: (state: JobState) => void;
}) {
  const stats = useLive((one) => one.byName.get(queue));
  return (
    <fieldset className="choice states" aria-label="State">
      {JOB_STATES.map((one) => (
        <button key={one} type="button" aria-pressed={one === state} onClick={() => onChange(one)}>
          <StateMark state={one} /> {STATE_NAME[one]}{" "}
          <span className="choice-count">{stats ? compact(stats[one]) : ""}</span>
        </button>
      ))}
    </fieldset>
  );
}

function TypeFilter({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  return (
    <form
      className="search"
      onSubmit={(event) => {
        event.preventDefault();
        onChange(typed.trim());
      }}
    >
      <input
        placeholder="Type, exact"
        aria-label="Type, exact"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onBlur={() => typed.trim() !== value && onChange(typed.trim())}
        spellCheck={false}
      />
      {value && <Button kind="quiet" icon="close" aria-label="Clear the type" onClick={() => onChange("")} />}
    </form>
  );
}

/** Asks the queues for the id, a few at a time; it can be in one of them only. */
export async function findJob(id: string, queues: readonly string[]): Promise<string | null> {
  for (let at = 0; at < queues.length; at += 6) {
    const found = await Promise.all(
      queues.slice(at, at + 6).map((queue) =>
        getJob(queue, id).then(
          () => queue,
          (error: unknown) => {
            if (error instanceof ApiError && error.code === CODE.notFound) return null;
            throw error;
          },
        ),
      ),
    );
    const queue = found.find((one) => one !== null);
    if (queue) return queue;
  }
  return null;
}

function IdSearch({ start, queues }: { start: string; queues: readonly string[] }) {
  const [typed, setTyped] = useState(start);
  const [said, setSaid] = useState("");
  const note = useId();
  const find = async (event: FormEvent) => {
    event.preventDefault();
    const id = typed.trim();
    if (!id) return;
    setSaid("Looking…");
    try {
      const queue = await findJob(id, queues);
      if (queue) go(href(["jobs", queue, id]));
      else setSaid("No such job: it is finished, or was never made.");
    } catch (error) {
      setSaid(words(error as Error));
    }
  };
  return (
    <form className="search id-search" onSubmit={find}>
      <Icon name="search" />
      <input
        data-search
        type="search"
        placeholder="Find a job by its id"
        aria-label="Find a job by its id"
        aria-describedby={note}
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setSaid("");
        }}
        spellCheck={false}
      />
      <span id={note} className="search-note" role="status">
        {said}
      </span>
    </form>
  );
}
