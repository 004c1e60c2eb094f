// The virtual list of jobs: only visible rows exist. It has a cursor, a selection, and a button that shows new jobs.

import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import type { BulkAction, ListQuery, Selection } from "../api/calls";
import type { JobState, JobSummary } from "../api/model";
import { useKeys } from "../nav/keys";
import { go, href } from "../nav/router";
import { Ago, Button, Empty, Failed, JobId, Loading, StateMark } from "../ui/basics";
import { count, plural, shortType } from "../ui/format";
import { BulkDialog } from "./BulkDialog";
import { useJobPages } from "./useJobPages";

const ROW_PX = 52;

const TIME_TITLE: Record<JobState, string> = {
  ready: "Ready since",
  delayed: "Due",
  inflight: "Lease ends",
  dead: "Died",
};

const EMPTY_TEXT: Record<JobState, string> = {
  ready: "No job waits to be claimed.",
  delayed: "No job waits for its time.",
  inflight: "No job is in a worker's hands.",
  dead: "No dead letters. Jobs come here when their last attempt fails.",
};

export function JobList({ query }: { query: ListQuery }) {
  const scroller = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState(false);
  const [cursor, setCursor] = useState(-1);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [allMatching, setAllMatching] = useState(false);
  const [bulk, setBulk] = useState<{ action: BulkAction; selection: Selection } | null>(null);
  const still = () =>
    pointed || cursor >= 0 || selected.size > 0 || bulk !== null || (scroller.current?.scrollTop ?? 0) > 0;
  const pages = useJobPages(query, still);
  const { jobs } = pages;
  const key = JSON.stringify(query);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another list starts without a cursor and a selection
  useEffect(() => {
    setCursor(-1);
    setSelected(new Set());
    setAllMatching(false);
    scroller.current?.scrollTo(0, 0);
  }, [key]);

  const rows = useVirtualizer({
    count: jobs.length + (pages.more ? 1 : 0),
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 8,
  });
  const inSight = rows.getVirtualItems();
  const lastInSight = inSight.at(-1)?.index ?? 0;
  const { loadMore, more, loading, error } = pages;
  useEffect(() => {
    if (more && !loading && !error && jobs.length > 0 && lastInSight >= jobs.length - 1) loadMore();
  }, [more, loading, error, lastInSight, jobs.length, loadMore]);

  const move = (by: number) => {
    if (jobs.length === 0) return;
    const next = Math.min(jobs.length - 1, Math.max(0, cursor + by));
    setCursor(next);
    rows.scrollToIndex(next);
  };
  const toggle = useMemo(
    () => (id: string) => {
      setAllMatching(false);
      setSelected((old) => {
        const next = new Set(old);
        if (!next.delete(id)) next.add(id);
        return next;
      });
    },
    [],
  );
  const atCursor = jobs[cursor];
  const dead = query.state === "dead";
  const chosen = (): Selection | null => {
    if (allMatching) return { filter: { state: query.state, type: query.type, errorType: query.errorType } };
    if (selected.size > 0) return { ids: [...selected] };
    return atCursor ? { ids: [atCursor.id] } : null;
  };
  const act = (action: BulkAction) => {
    const selection = chosen();
    if (selection) setBulk({ action, selection });
  };
  const clear = () => {
    setSelected(new Set());
    setAllMatching(false);
    setCursor(-1);
  };
  const refresh = () => {
    clear();
    pages.refresh();
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    x: () => atCursor && toggle(atCursor.id),
    r: () => (dead ? act("requeue") : undefined),
    // biome-ignore lint/correctness/noComponentHookFactories: a key's name, not a component
    Enter: () => {
      const focused = document.activeElement;
      if (focused instanceof HTMLElement && focused.matches("a, button, summary")) focused.click();
      else if (atCursor) go(href(["jobs", atCursor.queue, atCursor.id]));
    },
    Escape: clear,
    n: refresh,
  });
  const matching = query.type || query.errorType ? "all matching" : `all ${count(pages.total)}`;
  const all = jobs.length > 0 && jobs.every((job) => selected.has(job.id));

  return (
    <div className="job-list">
      <div className="list-bar" role="toolbar" aria-label="Jobs">
        <label className="check">
          <input
            type="checkbox"
            checked={all || allMatching}
            disabled={jobs.length === 0}
            onChange={() => {
              setAllMatching(false);
              setSelected(all ? new Set() : new Set(jobs.map((job) => job.id)));
            }}
          />
          {allMatching
            ? `${matching} selected`
            : selected.size > 0
              ? `${count(selected.size)} selected`
              : "Select shown"}
        </label>
        {(selected.size > 0 || allMatching) && (
          <>
            {!allMatching && (
              <Button kind="quiet" onClick={() => setAllMatching(true)}>
                Select {matching}
              </Button>
            )}
            {dead && (
              <Button kind="primary" icon="retry" onClick={() => act("requeue")}>
                Requeue
              </Button>
            )}
            <Button
              kind="danger"
              icon={dead ? "trash" : "close"}
              onClick={() => act(dead ? "purge dead" : "cancel")}
            >
              {dead ? "Purge" : "Cancel jobs"}
            </Button>
            <Button kind="quiet" onClick={clear}>
              Clear
            </Button>
          </>
        )}
        <span className="spacer" />
        <span className="list-news" aria-live="polite">
          {(pages.news > 0 || pages.gone > 0) && (
            <Button onClick={refresh}>
              {[
                pages.news > 0 ? `${count(pages.news)} new` : "",
                pages.gone > 0 ? `${count(pages.gone)} gone` : "",
              ]
                .filter(Boolean)
                .join(" · ")}{" "}
              – show
            </Button>
          )}
        </span>
        <span className="muted">{plural(pages.total, "job")} in this state</span>
      </div>
      <div
        ref={scroller}
        className="list-scroll"
        onPointerEnter={() => setPointed(true)}
        onPointerLeave={() => setPointed(false)}
      >
        {pages.error && jobs.length === 0 && <Failed error={pages.error} retry={pages.refresh} />}
        {pages.loading && jobs.length === 0 && <Loading rows={6} />}
        {!pages.loading && !pages.error && jobs.length === 0 && !pages.more && (
          <Empty
            title={query.type || query.errorType ? "Nothing matches these filters" : EMPTY_TEXT[query.state]}
          />
        )}
        {jobs.length > 0 && (
          <div
            role="table"
            aria-label={`Jobs of ${query.queue}`}
            aria-rowcount={pages.more ? -1 : jobs.length}
            className="rows"
            style={{ height: rows.getTotalSize() }}
          >
            {inSight.map((row) => {
              const job = jobs[row.index];
              if (!job)
                return (
                  <div
                    key="more"
                    className="row more"
                    style={{ transform: `translateY(${row.start}px)` }}
                    role="row"
                  >
                    <span role="cell">
                      {pages.loading ? "Loading more…" : <Button onClick={loadMore}>Search further</Button>}
                    </span>
                  </div>
                );
              return (
                <JobRow
                  key={job.id}
                  job={job}
                  index={row.index}
                  start={row.start}
                  current={row.index === cursor}
                  selected={allMatching || selected.has(job.id)}
                  toggle={toggle}
                />
              );
            })}
          </div>
        )}
      </div>
      {bulk && (
        <BulkDialog
          target={{ ...bulk, queue: query.queue }}
          onClose={() => setBulk(null)}
          onChanged={refresh}
        />
      )}
    </div>
  );
}

interface RowProps {
  job: JobSummary;
  index: number;
  start: number;
  current: boolean;
  selected: boolean;
  toggle: (id: string) => void;
}

const JobRow = memo(function JobRow({ job, index, start, current, selected, toggle }: RowProps) {
  return (
    <div
      role="row"
      aria-rowindex={index + 1}
      className={`row ${current ? "current" : ""} ${selected ? "selected" : ""}`}
      style={{ transform: `translateY(${start}px)` }}
    >
      <span role="cell" className="cell-check">
        <input
          type="checkbox"
          checked={selected}
          onChange={() => toggle(job.id)}
          aria-label={`Select job ${job.id}`}
        />
      </span>
      <span role="cell" className="cell-main">
        <a href={href(["jobs", job.queue, job.id])} className="clip">
          {job.type}
        </a>
        <JobId id={job.id} />
      </span>
      <span role="cell" className="cell-detail clip">
        <JobDetailText job={job} />
      </span>
      <span role="cell" className="cell-num" title="Attempts begun, of those allowed">
        {job.attempt}/{job.maxAttempts}
      </span>
      <span role="cell" className="cell-time" title={TIME_TITLE[job.state]}>
        <StateMark state={job.state} /> <Ago time={job.stateTime} />
      </span>
    </div>
  );
});

function JobDetailText({ job }: { job: JobSummary }) {
  if (job.state === "dead" || job.errorMessage)
    return (
      <>
        <b className="error-type" title={job.errorType}>
          {shortType(job.errorType) || job.deadReason || "error"}
        </b>{" "}
        {job.errorMessage}
      </>
    );
  if (job.state === "inflight")
    return (
      <>
        {job.cancelled && <b className="error-type">cancelled</b>} {job.workerId}
        {job.progress > 0 && ` · ${Math.round(job.progress * 100)} % ${job.progressNote}`}
      </>
    );
  return <code>{job.payloadPreview || "no payload"}</code>;
}
