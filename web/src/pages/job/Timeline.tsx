// The attempts of a job in their order, with the error of each. Errors are text, never markup.

import type { AttemptFailure, JobDetail } from "../../api/model";
import { Ago, StateMark } from "../../ui/basics";
import { dateTime, duration } from "../../ui/format";

const KIND = {
  retry: "failed",
  rejected: "was rejected by the worker",
  "lease expired": "lost its lease",
  outage: "lost its server, and has the attempt back",
  unknown: "failed",
} as const;

export function Timeline({ job }: { job: JobDetail }) {
  const { summary, failures } = job;
  const firstKept = failures[0]?.attempt ?? 1;
  return (
    <ol className="timeline">
      <li>
        <span className="dot" />
        <p>
          <b>Enqueued</b> <Ago time={job.enqueueTime} />
        </p>
        <p className="muted">{dateTime(job.enqueueTime)}</p>
      </li>
      {firstKept > 1 && <li className="muted skipped">Earlier attempts are no longer kept.</li>}
      {failures.map((failure, index) => (
        <Failure
          key={`${failure.attempt} ${failure.time}`}
          failure={failure}
          after={failure.time - (failures[index - 1]?.time ?? job.enqueueTime)}
          open={index === failures.length - 1}
        />
      ))}
      <li>
        <StateMark state={summary.state} />
        <p>
          <b>{NOW[summary.state]}</b> <Ago time={summary.stateTime} />
        </p>
        {summary.state === "inflight" && (
          <p className="muted">
            attempt {summary.attempt}, {summary.workerId}
          </p>
        )}
        <p className="muted">{dateTime(summary.stateTime)}</p>
      </li>
    </ol>
  );
}

const NOW = {
  ready: "Ready",
  delayed: "To run",
  inflight: "In flight, lease ends",
  dead: "Dead letter",
} as const;

function Failure({ failure, after, open }: { failure: AttemptFailure; after: number; open: boolean }) {
  return (
    <li className="failure">
      <span className="dot bad" />
      <p>
        <b>Attempt {failure.attempt}</b> {KIND[failure.kind] ?? "failed"} <Ago time={failure.time} />
      </p>
      <p className="muted">
        {dateTime(failure.time)}
        {after > 0 && ` · ${duration(after)} after the step before`}
        {failure.workerId && <> · {failure.workerId}</>}
      </p>
      {(failure.errorType || failure.errorMessage) && (
        <p className="error-line">
          {failure.errorType && <b>{failure.errorType}: </b>}
          {failure.errorMessage}
        </p>
      )}
      {failure.errorStack && (
        <details open={open}>
          <summary>Stack trace</summary>
          <pre tabIndex={0}>{failure.errorStack}</pre>
        </details>
      )}
    </li>
  );
}
