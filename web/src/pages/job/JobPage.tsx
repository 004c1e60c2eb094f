// One job: its state, its attempts, its payload and headers, and its actions.

import { useState } from "react";
import { type BulkAction, getJob, runJobNow } from "../../api/calls";
import { ApiError, CODE } from "../../api/http";
import type { JobDetail } from "../../api/model";
import { BulkDialog } from "../../jobs/BulkDialog";
import { type Fetched, useFetched } from "../../live/hooks";
import { href } from "../../nav/router";
import {
  Ago,
  Button,
  CopyButton,
  Empty,
  Failed,
  Icon,
  Loading,
  Section,
  StateLabel,
  words,
} from "../../ui/basics";
import { bytes, dateTime, duration } from "../../ui/format";
import { toast } from "../../ui/toast";
import { CopyAs } from "./CopyAs";
import { Payload } from "./Payload";
import { Timeline } from "./Timeline";

/** The dialog stands beside the job's content: the job may be gone while the dialog still shows its result. */
export function JobPage({ queue, id }: { queue: string; id: string }) {
  const job = useFetched(`job ${queue} ${id}`, (signal) => getJob(queue, id, signal), 2000);
  const [bulk, setBulk] = useState<BulkAction | null>(null);
  return (
    <>
      <Found queue={queue} id={id} job={job} start={setBulk} />
      {bulk && (
        <BulkDialog
          target={{ action: bulk, queue, selection: { ids: [id] } }}
          onClose={() => setBulk(null)}
          onChanged={job.refetch}
        />
      )}
    </>
  );
}

interface FoundProps {
  queue: string;
  id: string;
  job: Fetched<JobDetail>;
  start: (action: BulkAction) => void;
}

function Found({ queue, id, job, start }: FoundProps) {
  const finished = job.error instanceof ApiError && job.error.code === CODE.notFound;
  if (finished)
    return (
      <>
        <Crumb queue={queue} />
        <Empty whole title={job.data ? "This job is finished" : "There is no such job"}>
          {job.data
            ? "It was done, cancelled or purged while this page was open."
            : "It is finished, was cancelled or purged, or never was in this queue."}
          <code className="block">{id}</code>
        </Empty>
      </>
    );
  if (job.error && !job.data) return <Failed error={job.error} retry={job.refetch} />;
  if (!job.data) return <Loading rows={8} />;
  return <Shown job={job.data} refetch={job.refetch} start={start} />;
}

function Crumb({ queue }: { queue: string }) {
  return (
    <a className="crumb" href={href(["queues", queue])}>
      <Icon name="back" /> {queue}
    </a>
  );
}

interface ShownProps {
  job: JobDetail;
  refetch: () => void;
  start: (action: BulkAction) => void;
}

function Shown({ job, refetch, start }: ShownProps) {
  const { summary } = job;
  return (
    <>
      <div className="page-head">
        <div>
          <Crumb queue={summary.queue} />
          <h1 className="clip">{summary.type}</h1>
          <p className="job-id">
            <code>{summary.id}</code>
            <CopyButton text={summary.id} label="Copy the id" />
          </p>
        </div>
        <Actions job={job} refetch={refetch} start={start} />
      </div>
      <Facts job={job} />
      <div className="columns">
        <div>
          <Section
            title="Payload"
            aside={<span className="muted">{`${bytes(job.payload.length)} · ${job.contentType}`}</span>}
          >
            <Payload payload={job.payload} contentType={job.contentType} />
          </Section>
          {job.headers.length > 0 && (
            <Section title="Headers">
              <table className="plain">
                <tbody>
                  {job.headers.map(([name, value]) => (
                    <tr key={name}>
                      <th scope="row">
                        <code>{name}</code>
                      </th>
                      <td>
                        <code className="wrap">{value}</code>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Section>
          )}
          <Section title="Copy as">
            <CopyAs job={job} />
          </Section>
        </div>
        <Section title="Timeline">
          <Timeline job={job} />
        </Section>
      </div>
    </>
  );
}

function Actions({ job, refetch, start }: ShownProps) {
  const { summary } = job;
  const run = async () => {
    try {
      await runJobNow(summary.queue, summary.id);
      toast("The job is ready now");
    } catch (error) {
      toast(words(error as Error), true);
    }
    refetch();
  };
  return (
    <div className="actions">
      {summary.state === "delayed" && (
        <Button kind="primary" icon="play" onClick={run}>
          Run now
        </Button>
      )}
      {summary.state === "dead" ? (
        <>
          <Button kind="primary" icon="retry" onClick={() => start("requeue")}>
            Requeue
          </Button>
          <Button kind="danger" icon="trash" onClick={() => start("purge dead")}>
            Purge
          </Button>
        </>
      ) : (
        <Button kind="danger" icon="close" onClick={() => start("cancel")} disabled={summary.cancelled}>
          {summary.cancelled ? "Cancel is on its way" : "Cancel"}
        </Button>
      )}
    </div>
  );
}

const TIME_NAME = { ready: "Ready since", delayed: "Due", inflight: "Lease ends", dead: "Died" } as const;

function Facts({ job }: { job: JobDetail }) {
  const { summary, retry } = job;
  return (
    <dl className="facts">
      <div>
        <dt>State</dt>
        <dd>
          <StateLabel state={summary.state} />{" "}
          {summary.deadReason && <span className="muted">({summary.deadReason})</span>}
        </dd>
      </div>
      <div>
        <dt>{TIME_NAME[summary.state]}</dt>
        <dd>
          <Ago time={summary.stateTime} />
        </dd>
      </div>
      <div>
        <dt>Attempt</dt>
        <dd>
          {summary.attempt} of {summary.maxAttempts}
          {summary.expirations > 0 && `, ${summary.expirations} lost`}
        </dd>
      </div>
      <div>
        <dt>Enqueued</dt>
        <dd>
          <Ago time={job.enqueueTime} />
        </dd>
      </div>
      <div>
        <dt>Priority</dt>
        <dd>{summary.priority > 0 ? `+${summary.priority}` : summary.priority}</dd>
      </div>
      {summary.workerId && (
        <div>
          <dt>{summary.state === "inflight" ? "Worker" : "Last worker"}</dt>
          <dd className="clip">{summary.workerId}</dd>
        </div>
      )}
      <div>
        <dt>Backoff</dt>
        <dd>{`up to ${duration(retry.initialBackoffMs)} × ${retry.multiplier}ⁿ, ${duration(retry.maxBackoffMs)} at most`}</dd>
      </div>
      {job.maxRuntimeMs > 0 && (
        <div>
          <dt>Runs at most</dt>
          <dd>{duration(job.maxRuntimeMs)}</dd>
        </div>
      )}
      {job.expiresAt !== null && (
        <div>
          <dt>Expires</dt>
          <dd>{dateTime(job.expiresAt)}</dd>
        </div>
      )}
      {job.idempotencyKey && (
        <div>
          <dt>Idempotency key</dt>
          <dd className="clip">{job.idempotencyKey}</dd>
        </div>
      )}
      {summary.state === "inflight" && summary.progress > 0 && (
        <div>
          <dt>Progress</dt>
          <dd>
            <progress max={1} value={summary.progress} aria-label="Progress" />{" "}
            {Math.round(summary.progress * 100)} % {summary.progressNote}
          </dd>
        </div>
      )}
    </dl>
  );
}
