// The calls of the contract, one function each, typed by the declarations generated from proto/.

import type {
  CancelJobsRequestJson,
  CancelJobsResponseJson,
  GetHistoryResponseJson,
  GetJobResponseJson,
  GetServerInfoResponseJson,
  ListJobsResponseJson,
  ListQueuesResponseJson,
  ListWorkersResponseJson,
  PauseQueueResponseJson,
  PurgeQueueResponseJson,
  QueueSettingsJson,
  UpdateQueueResponseJson,
} from "../gen/relay/v1/admin_service_pb";
import type {
  DeadLetterFilterJson,
  GroupDeadLettersResponseJson,
  ListDeadLettersResponseJson,
  RequeueDeadLettersResponseJson,
} from "../gen/relay/v1/dead_letter_service_pb";
import * as decode from "./decode";
import { request, stream } from "./http";
import type {
  BulkProgress,
  DeadGroups,
  HistoryBucket,
  JobDetail,
  JobState,
  JobSummary,
  Page,
  Queue,
  ServerInfo,
  Worker,
  Workers,
} from "./model";

export const PAGE_SIZE = 100;

const at = encodeURIComponent;
const stateWord = (state: JobState) => `JOB_STATE_${state.toUpperCase() as Uppercase<JobState>}` as const;

/** Which jobs of a queue an action is about: some by id, or all that match. */
export type Selection = { ids: readonly string[] } | { filter: JobFilter };

export interface JobFilter {
  state: JobState;
  type?: string;
  /** Of dead letters only. "" is a value too: deaths without an error type cannot be filtered for, and are left to `ids`. */
  errorType?: string;
}

export interface ListQuery {
  queue: string;
  state: JobState;
  type: string;
  errorType: string;
}

export async function listJobs(
  query: ListQuery,
  pageToken: string,
  signal?: AbortSignal,
): Promise<Page<JobSummary>> {
  const paging = { pageSize: PAGE_SIZE, pageToken };
  const options = signal ? { signal } : {};
  if (query.state === "dead") {
    const filter = { "filter.type": query.type, "filter.errorType": query.errorType };
    const path = `queues/${at(query.queue)}/dead`;
    return decode.jobPage(
      await request<ListDeadLettersResponseJson>(path, { query: { ...paging, ...filter }, ...options }),
    );
  }
  const filter = { state: stateWord(query.state), type: query.type };
  const path = `queues/${at(query.queue)}/jobs`;
  return decode.jobPage(
    await request<ListJobsResponseJson>(path, { query: { ...paging, ...filter }, ...options }),
  );
}

export async function getJob(queue: string, id: string, signal?: AbortSignal): Promise<JobDetail> {
  const path = `queues/${at(queue)}/jobs/${at(id)}`;
  return decode.jobDetail(await request<GetJobResponseJson>(path, signal ? { signal } : {}));
}

export async function runJobNow(queue: string, id: string): Promise<void> {
  await request(`queues/${at(queue)}/jobs/${at(id)}:run`, { method: "POST", body: {} });
}

/** The settings of a queue; null when it does not exist. */
export async function getQueue(name: string, signal?: AbortSignal): Promise<Queue | null> {
  const page: ListQueuesResponseJson = await request("queues", {
    query: { prefix: name, pageSize: 1 },
    ...(signal ? { signal } : {}),
  });
  const found = page.queues?.find((queue) => queue.name === name);
  return found ? decode.queue(found) : null;
}

export async function updateQueue(name: string, settings: QueueSettingsJson): Promise<Queue> {
  const reply: UpdateQueueResponseJson = await request(`queues/${at(name)}`, {
    method: "PATCH",
    body: settings,
  });
  return decode.queue(reply.queue ?? {});
}

export async function setPaused(name: string, paused: boolean): Promise<Queue> {
  const path = `queues/${at(name)}:${paused ? "pause" : "resume"}`;
  const reply: PauseQueueResponseJson = await request(path, { method: "POST", body: {} });
  return decode.queue(reply.queue ?? {});
}

export async function getHistory(
  name: string,
  spanS: number,
  signal?: AbortSignal,
): Promise<HistoryBucket[]> {
  const path = `queues/${at(name)}/history`;
  const call = { query: { span: `${spanS}s` }, ...(signal ? { signal } : {}) };
  return decode.history(await request<GetHistoryResponseJson>(path, call));
}

export async function groupDead(queue: string, signal?: AbortSignal): Promise<DeadGroups> {
  const path = `queues/${at(queue)}/dead:group`;
  return decode.deadGroups(
    queue,
    await request<GroupDeadLettersResponseJson>(path, signal ? { signal } : {}),
  );
}

const WORKER_PAGES_MAX = 4;

/** Sessions by worker, at most 2 000: the page shows no more rows. */
export async function listWorkers(signal?: AbortSignal): Promise<Workers> {
  const sessions: Worker[] = [];
  let pageToken = "";
  for (let page = 0; page < WORKER_PAGES_MAX; page++) {
    const call = { query: { pageSize: 500, pageToken }, ...(signal ? { signal } : {}) };
    const json = await request<ListWorkersResponseJson>("workers", call);
    sessions.push(...decode.workers(json));
    pageToken = json.nextPageToken ?? "";
    if (!pageToken) return { sessions, more: false };
  }
  return { sessions, more: true };
}

export async function getServerInfo(signal?: AbortSignal): Promise<ServerInfo> {
  return decode.serverInfo(await request<GetServerInfoResponseJson>("server", signal ? { signal } : {}));
}

// --- operations on many jobs

export type BulkAction = "requeue" | "purge dead" | "cancel" | "purge queue";

export interface BulkTarget {
  action: BulkAction;
  queue: string;
  selection: Selection;
}

/** A dry run counts and changes nothing. Aborting the signal stops the operation and keeps what is done. */
export async function* runBulk(
  target: BulkTarget,
  dryRun: boolean,
  signal: AbortSignal,
): AsyncGenerator<BulkProgress, void, undefined> {
  const queue = at(target.queue);
  if (target.action === "purge queue") {
    const body = dryRun ? { dryRun } : { confirm: target.queue };
    const call = { method: "POST", body, signal } as const;
    for await (const json of stream<PurgeQueueResponseJson>(`queues/${queue}:purge`, call))
      yield decode.purgeProgress(json, dryRun);
    return;
  }
  const path = {
    requeue: `queues/${queue}/dead:requeue`,
    "purge dead": `queues/${queue}/dead:purge`,
    cancel: `queues/${queue}/jobs:cancel`,
  }[target.action];
  const body = { ...selectionBody(target), dryRun };
  for await (const json of stream<RequeueDeadLettersResponseJson & CancelJobsResponseJson>(path, {
    method: "POST",
    body,
    signal,
  }))
    yield decode.bulkProgress(json);
}

function selectionBody(
  target: BulkTarget,
): Partial<CancelJobsRequestJson> & { filter?: DeadLetterFilterJson } {
  if ("ids" in target.selection) return { ids: { ids: [...target.selection.ids] } };
  const { state, type, errorType } = target.selection.filter;
  const some = { ...(type ? { type } : {}) };
  if (target.action === "cancel") return { filter: { ...some, state: stateWord(state), all: true } };
  return {
    filter: { ...some, ...(errorType ? { errorType } : {}), ...(type || errorType ? {} : { all: true }) },
  };
}
