// An operation on many jobs, in four steps: count, confirm, watch, result.

import { useEffect, useRef, useState } from "react";
import { type BulkAction, type BulkTarget, runBulk } from "../api/calls";
import { isAbort } from "../api/http";
import type { BulkProgress } from "../api/model";
import { Button, Failed, JobId, Loading } from "../ui/basics";
import { Dialog } from "../ui/Dialog";
import { count, plural } from "../ui/format";

interface Words {
  title: string;
  verb: string;
  doing: string;
  done: string;
  noun: string;
  effect: string;
  /** Nothing can bring the jobs back: the queue's name must be typed. */
  final: boolean;
}

const WORDS: Record<BulkAction, Words> = {
  requeue: {
    title: "Requeue dead letters",
    verb: "Requeue",
    doing: "Requeueing",
    done: "requeued",
    noun: "dead letter",
    effect: "They become ready at once; attempts start anew.",
    final: false,
  },
  "purge dead": {
    title: "Purge dead letters",
    verb: "Purge",
    doing: "Purging",
    done: "purged",
    noun: "dead letter",
    effect: "They are deleted for good, with their payloads and errors.",
    final: true,
  },
  cancel: {
    title: "Cancel jobs",
    verb: "Cancel",
    doing: "Cancelling",
    done: "cancelled",
    noun: "job",
    effect:
      "Waiting jobs are deleted. Workers are told to stop those in flight. A cancelled job never runs again.",
    final: true,
  },
  "purge queue": {
    title: "Purge queue",
    verb: "Purge",
    doing: "Purging",
    done: "purged",
    noun: "waiting job",
    effect: "Ready and delayed jobs are deleted for good. Jobs in flight and dead letters stay.",
    final: true,
  },
};

type Step =
  | { name: "counting"; progress?: BulkProgress }
  | { name: "confirm"; preview: BulkProgress }
  | { name: "running"; progress: BulkProgress | null; of: number }
  | { name: "done"; changed: number; stopped: boolean }
  | { name: "failed"; error: Error; changed: number };

/** True at most ten times a second, however often the server reports progress. */
function throttle(): () => boolean {
  let last = 0;
  return () => {
    const now = performance.now();
    if (now - last < 100) return false;
    last = now;
    return true;
  };
}

interface Props {
  target: BulkTarget;
  onClose: () => void;
  /** Something was changed: lists are out of date. */
  onChanged: () => void;
}

export function BulkDialog({ target, onClose, onChanged }: Props) {
  const words = WORDS[target.action];
  const [step, setStep] = useState<Step>({ name: "counting" });
  const [round, setRound] = useState(0);
  const abort = useRef(new AbortController());

  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks again; the target of an open dialog stays
  useEffect(() => {
    const mine = new AbortController();
    abort.current = mine;
    setStep({ name: "counting" });
    void (async () => {
      const due = throttle();
      try {
        let preview: BulkProgress | undefined;
        let sample: BulkProgress["sample"] = [];
        for await (const one of runBulk(target, true, mine.signal)) {
          if (one.sample.length > 0) sample = one.sample;
          preview = { ...one, sample };
          if (!one.done && due()) setStep({ name: "counting", progress: one });
        }
        if (preview && !mine.signal.aborted) setStep({ name: "confirm", preview });
      } catch (error) {
        if (!isAbort(error)) setStep({ name: "failed", error: error as Error, changed: 0 });
      }
    })();
    return () => mine.abort();
  }, [round]);

  const start = async (of: number) => {
    let progress: BulkProgress | null = null;
    setStep({ name: "running", progress, of });
    const due = throttle();
    try {
      for await (progress of runBulk(target, false, abort.current.signal)) {
        if (!progress.done && !due()) continue;
        setStep({ name: "running", progress, of });
      }
      setStep({ name: "done", changed: progress?.changed ?? 0, stopped: false });
    } catch (error) {
      const changed = progress?.changed ?? 0;
      setStep(
        isAbort(error)
          ? { name: "done", changed, stopped: true }
          : { name: "failed", error: error as Error, changed },
      );
    }
    onChanged();
  };
  const close = () => {
    abort.current.abort();
    onClose();
  };

  return (
    <Dialog title={words.title} onClose={close}>
      <p className="dialog-scope">
        Queue <b>{target.queue}</b>
        {scope(target)}
      </p>
      {step.name === "counting" && <Counting progress={step.progress} />}
      {step.name === "confirm" && (
        <Confirm target={target} words={words} preview={step.preview} start={start} close={close} />
      )}
      {step.name === "running" && (
        <Running words={words} progress={step.progress} of={step.of} stop={() => abort.current.abort()} />
      )}
      {step.name === "done" && (
        <>
          <p role="status" className="result">
            {step.stopped ? "Stopped: " : ""}
            {plural(step.changed, words.noun)} {words.done}.{step.stopped ? " What is done stays done." : ""}
          </p>
          <div className="dialog-actions">
            <Button kind="primary" onClick={close}>
              Close
            </Button>
          </div>
        </>
      )}
      {step.name === "failed" && (
        <>
          <Failed error={step.error} retry={() => setRound(round + 1)} />
          {step.changed > 0 && (
            <p>
              {plural(step.changed, words.noun)} {words.done} before that. Trying again goes on with what is
              left.
            </p>
          )}
        </>
      )}
    </Dialog>
  );
}

function scope(target: BulkTarget): string {
  if (target.action === "purge queue") return "";
  if ("ids" in target.selection) return `, ${plural(target.selection.ids.length, "selected job")}`;
  const { state, type, errorType } = target.selection.filter;
  const parts = [
    target.action === "cancel" ? (state === "inflight" ? "in flight" : state) : "",
    type ? `type “${type}”` : "",
    errorType ? `error “${errorType}”` : "",
  ].filter(Boolean);
  return parts.length > 0 ? `, all with ${parts.join(", ")}` : ", all";
}

function Counting({ progress }: { progress: BulkProgress | undefined }) {
  if (!progress) return <Loading rows={2} />;
  return (
    <>
      <p>
        Counting… <b className="num">{count(progress.matched)}</b> match so far
      </p>
      <progress max={progress.total || 1} value={progress.examined} aria-label="Counting" />
    </>
  );
}

interface ConfirmProps {
  target: BulkTarget;
  words: Words;
  preview: BulkProgress;
  start: (of: number) => void;
  close: () => void;
}

function Confirm({ target, words, preview, start, close }: ConfirmProps) {
  const [typed, setTyped] = useState("");
  const few = "ids" in target.selection && target.action !== "purge queue";
  const mustType = words.final && !few;
  const allowed = preview.matched > 0 && (!mustType || typed === target.queue);
  if (preview.matched === 0)
    return (
      <>
        <p className="result">Nothing matches any more.</p>
        <div className="dialog-actions">
          <Button onClick={close}>Close</Button>
        </div>
      </>
    );
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (allowed) start(preview.matched);
      }}
    >
      <p className="preview">
        <b className="preview-count">{count(preview.matched)}</b>{" "}
        {preview.matched === 1 ? words.noun : `${words.noun}s`} will be {words.done}.
      </p>
      <p>{words.effect}</p>
      {preview.sample.length > 0 && (
        <ul className="sample" aria-label="A sample">
          {preview.sample.slice(0, 5).map((job) => (
            <li key={job.id}>
              <JobId id={job.id} /> <span className="clip">{job.type}</span>
              <span className="muted clip">{job.errorMessage || job.payloadPreview}</span>
            </li>
          ))}
          {preview.matched > 5 && (
            <li className="muted">and {count(preview.matched - Math.min(5, preview.sample.length))} more</li>
          )}
        </ul>
      )}
      {mustType && (
        <label className="field">
          <span>
            Type <b>{target.queue}</b> to confirm
          </span>
          <input
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </label>
      )}
      <div className="dialog-actions">
        <Button onClick={close}>Keep them</Button>
        <Button type="submit" kind={words.final ? "danger" : "primary"} disabled={!allowed}>
          {words.verb} {count(preview.matched)}
        </Button>
      </div>
    </form>
  );
}

interface RunningProps {
  words: Words;
  progress: BulkProgress | null;
  of: number;
  stop: () => void;
}

function Running({ words, progress, of, stop }: RunningProps) {
  const total = progress?.total || of;
  const examined = progress?.examined ?? 0;
  return (
    <>
      <p>
        {words.doing}… <b className="num">{count(progress?.changed ?? 0)}</b> of {count(of)}
      </p>
      <progress max={total || 1} value={examined} aria-label={words.doing} />
      <div className="dialog-actions">
        <Button onClick={stop}>Stop</Button>
      </div>
    </>
  );
}
