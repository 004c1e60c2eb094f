// A list of jobs that grows page by page. It counts new jobs and shows them on demand: rows do not move under the pointer.

import { useCallback, useEffect, useRef, useState } from "react";
import { type ListQuery, listJobs } from "../api/calls";
import { isAbort } from "../api/http";
import type { JobSummary, Page } from "../api/model";
import { useAttention, useLive } from "../live/hooks";

const LOOK_EVERY_MS = 3000;
/** A filter that matches few jobs may give empty pages; after so many of them the list asks whether to go on. */
const EMPTY_PAGES_MAX = 20;

export interface JobPages {
  jobs: JobSummary[];
  total: number;
  /** More pages may follow. */
  more: boolean;
  loading: boolean;
  error: Error | undefined;
  /** Jobs at the top of the list on the server that are not shown. */
  news: number;
  /** Of the first page shown, how many are no longer there. */
  gone: number;
  at: number;
  loadMore: () => void;
  refresh: () => void;
}

interface State {
  jobs: JobSummary[];
  total: number;
  token: string;
  loading: boolean;
  error?: Error;
  at: number;
  fresh?: Page<JobSummary>;
  news: number;
  gone: number;
}

const EMPTY: State = { jobs: [], total: 0, token: "", loading: true, at: 0, news: 0, gone: 0 };

/** How a fresh first page differs from the list. */
export function compare(
  shown: readonly JobSummary[],
  fresh: Page<JobSummary>,
): { news: number; gone: number } {
  const known = new Set(shown.map((job) => job.id));
  const now = new Set(fresh.jobs.map((job) => job.id));
  // A full page says nothing about jobs after its end.
  const head = fresh.nextPageToken ? shown.slice(0, fresh.jobs.length) : shown;
  return {
    news: fresh.jobs.filter((job) => !known.has(job.id)).length,
    gone: head.filter((job) => !now.has(job.id)).length,
  };
}

/** New values of the jobs that are shown, each in its place. */
export function merged(shown: JobSummary[], fresh: Page<JobSummary>): JobSummary[] {
  const byId = new Map(fresh.jobs.map((job) => [job.id, job]));
  return shown.map((job) => byId.get(job.id) ?? job);
}

export function useJobPages(query: ListQuery, still: () => boolean): JobPages {
  const key = JSON.stringify(query);
  const [state, setState] = useState<State>(EMPTY);
  const abort = useRef<AbortController | null>(null);
  const busy = useRef(false);
  const attention = useAttention();
  const live = useLive((one) => one.connection.phase === "live");
  const isStill = useRef(still);
  isStill.current = still;

  const load = useCallback(
    async (token: string) => {
      if (token === "") abort.current?.abort();
      else if (busy.current) return;
      const mine = token === "" ? new AbortController() : (abort.current ?? new AbortController());
      abort.current = mine;
      busy.current = true;
      setState((old) => ({ ...old, loading: true }));
      try {
        const page = await readOn(JSON.parse(key) as ListQuery, token, mine.signal);
        if (mine.signal.aborted) return;
        setState((old) => ({
          jobs: token === "" ? page.jobs : unique(old.jobs, page.jobs),
          total: page.total,
          token: page.nextPageToken,
          loading: false,
          at: Date.now(),
          news: token === "" ? 0 : old.news,
          gone: token === "" ? 0 : old.gone,
        }));
      } catch (error) {
        if (!mine.signal.aborted && !isAbort(error))
          setState((old) => ({ ...old, loading: false, error: error as Error }));
      } finally {
        if (abort.current === mine) busy.current = false;
      }
    },
    [key],
  );

  useEffect(() => {
    setState(EMPTY);
    if (!(JSON.parse(key) as ListQuery).queue) return;
    void load("");
    return () => abort.current?.abort();
  }, [key, load]);

  useEffect(() => {
    if (!attention || !live || !(JSON.parse(key) as ListQuery).queue) return;
    const look = new AbortController();
    const timer = setInterval(async () => {
      if (busy.current) return;
      try {
        const fresh = await listJobs(JSON.parse(key) as ListQuery, "", look.signal);
        if (look.signal.aborted || busy.current) return;
        setState((old) => afterLook(old, fresh, isStill.current()));
      } catch {
        // The list stays as it is; the banner says that the server is away.
      }
    }, LOOK_EVERY_MS);
    return () => {
      clearInterval(timer);
      look.abort();
    };
  }, [key, attention, live]);

  return {
    jobs: state.jobs,
    total: state.total,
    more: state.token !== "",
    loading: state.loading,
    error: state.error,
    news: state.news,
    gone: state.gone,
    at: state.at,
    loadMore: useCallback(() => void load(state.token), [load, state.token]),
    refresh: useCallback(() => void load(""), [load]),
  };
}

function afterLook(old: State, fresh: Page<JobSummary>, still: boolean): State {
  const { news, gone } = compare(old.jobs, fresh);
  const { error: _, ...rest } = old;
  const onePage = old.jobs.length <= Math.max(fresh.jobs.length, 1) || old.jobs.length === 0;
  // A list whose first page alone is shown, and that nobody reads or points at, is replaced at once.
  if (!still && (onePage || news + gone === 0)) {
    if (old.jobs.length <= fresh.jobs.length || !fresh.nextPageToken)
      return {
        ...rest,
        jobs: fresh.jobs,
        total: fresh.total,
        token: fresh.nextPageToken,
        at: Date.now(),
        news: 0,
        gone: 0,
      };
  }
  return { ...rest, jobs: merged(old.jobs, fresh), total: fresh.total, news, gone };
}

async function readOn(query: ListQuery, token: string, signal: AbortSignal): Promise<Page<JobSummary>> {
  let page = await listJobs(query, token, signal);
  for (let read = 1; page.jobs.length === 0 && page.nextPageToken && read < EMPTY_PAGES_MAX; read++)
    page = await listJobs(query, page.nextPageToken, signal);
  return page;
}

function unique(shown: JobSummary[], more: JobSummary[]): JobSummary[] {
  const known = new Set(shown.map((job) => job.id));
  return [...shown, ...more.filter((job) => !known.has(job.id))];
}
