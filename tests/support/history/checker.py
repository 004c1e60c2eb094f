"""Whether what happened obeys the promises."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.history.reader import Delivery, History, Op, Run

# Epochs are whole ms, and a job claimed twice in one gets the next one.
SLACK_MS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """What the store holds after the quiet period: ids that wait or run, and ids of dead letters."""

    live: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which, by which job (or idempotency key), and how."""

    kind: str
    job: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.job}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check found, and what it looked at."""

    violations: list[Violation]
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {n}" for name, n in self.counts.items())
        kinds = Counter(violation.kind for violation in self.violations)
        verdict = "valid" if self.ok else "INVALID: " + ", ".join(f"{kind} {n}" for kind, n in kinds.items())
        return f"{verdict} ({counts})"


# --- checking


@dataclass(slots=True)
class _Job:
    """What happened to one job, each list in order of time."""

    enqueues: list[Op] = field(default_factory=list)
    settles: list[Op] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


def check(history: History, final: Final) -> Verdict:
    """Judges a history after a quiet period, in linear time: jobs are independent, and each has few events."""
    jobs: dict[str, _Job] = defaultdict(_Job)
    for op in history.ops:
        if op.op == "enqueue":
            jobs[op.job].enqueues.append(op)
        else:
            jobs[op.job].settles.append(op)
    for delivery in history.deliveries:
        jobs[delivery.job].deliveries.append(delivery)
    for run in history.runs:
        jobs[run.job].runs.append(run)
    for job_id in final.live | final.dead:
        jobs.setdefault(job_id, _Job())
    violations = list(_keys(history, jobs))
    for job_id, job in jobs.items():
        job.deliveries.sort(key=lambda one: (one.epoch, one.t))
        job.settles.sort(key=lambda one: one.t_invoke)
        for kind, detail in (
            *_kept(job_id, job, final),
            *_ended(job_id, job, final),
            *_exclusive(job),
            *_fenced(job),
            *_ordered(job),
            *_run_as_told(job),
        ):
            violations.append(Violation(kind, job_id, detail))
    return Verdict(violations, _counts(history, jobs, final))


_Found = Iterator[tuple[str, str]]


def _kept(job_id: str, job: _Job, final: Final) -> _Found:
    """lost: an acknowledged enqueue is neither done nor there. unexpected: something nobody enqueued."""
    if not job.enqueues:
        yield "unexpected", f"{len(job.deliveries)} deliveries of a job that was never enqueued"
        return
    accepted = [op for op in job.enqueues if op.outcome == "ok" and op.reply in {"", job_id}]
    refused = all(op.outcome == "fail" for op in job.enqueues)
    if refused and (job.deliveries or job_id in final.live | final.dead):
        yield "unexpected", "its enqueue was refused"
    maybe_done = any(op.op == "ack" and (op.outcome == "unknown" or _applied(op)) for op in job.settles)
    if accepted and not maybe_done and job_id not in final.live and job_id not in final.dead:
        yield "lost", f"enqueued by {accepted[0].client}, {len(job.deliveries)} deliveries, no ack"


def _ended(job_id: str, job: _Job, final: Final) -> _Found:
    """redelivered: a job whose ack was answered OK comes back."""
    done = [op for op in job.settles if op.op == "ack" and op.outcome == "ok" and op.reply == "OK"]
    if not done:
        return
    if job_id in final.live or job_id in final.dead:
        yield "redelivered", "it is still in the store after an ack that was answered OK"
    if len({op.request for op in done}) > 1:
        yield "redelivered", f"acked OK under {len({op.request for op in done})} tokens"
    epochs = {one.token: one.epoch for one in job.deliveries}
    acked = min((epochs[op.request] for op in done if op.request in epochs), default=None)
    if acked is not None and job.deliveries[-1].epoch > acked:
        late = job.deliveries[-1]
        yield "redelivered", f"to {late.client} in epoch {late.epoch} after the ack of epoch {acked}"


def _exclusive(job: _Job) -> _Found:
    """overlap: a second lease began while one was unexpired whose job nobody had nacked."""
    for held, following in zip(job.deliveries, job.deliveries[1:], strict=False):
        if held.token == following.token:
            yield "overlap", f"delivered twice under one token, to {held.client} and {following.client}"
            continue
        given_back = any(
            op.op == "nack"
            and op.request == held.token
            and op.t_invoke <= following.epoch + SLACK_MS
            and (op.outcome == "unknown" or _applied(op))
            for op in job.settles
        )
        until = _held_until(held, job)
        if not given_back and following.epoch + SLACK_MS < until:
            yield (
                "overlap",
                f"{following.client} got it {until - following.epoch:.0f} ms before the lease of {held.client} ended",
            )


def _held_until(held: Delivery, job: _Job) -> float:
    """The least time to which the store must have kept this lease, in ms.

    Extensions count from when they were asked for. A worker that asked for a disconnect grace may lose its lease that
    long after its last renewal, if its stream broke; whether it did only the server knows.
    """

    def end(extended: float, expires: float) -> float:
        return min(expires, extended + held.grace_ms) if held.grace_ms else expires

    until = end(float(held.epoch), held.until)
    for op in job.settles:
        if op.op == "extend" and op.request == held.token and op.reply.startswith("OK"):
            left_ms = float(op.reply.partition(" ")[2] or 0)
            until = max(until, end(op.t_invoke, op.t_invoke + left_ms))
    return until


def _fenced(job: _Job) -> _Found:
    """stale: a lease that another one had replaced still settled or extended the job."""
    epochs = {one.token: one.epoch for one in job.deliveries}
    settled: set[str] = set()
    for op in job.settles:
        epoch = epochs.get(op.request)
        # A repeat of what may have been applied in time hears its first answer.
        if epoch is not None and op.request not in settled and op.outcome == "ok" and _applied(op):
            newer = next((d for d in job.deliveries if d.epoch > epoch and d.t < op.t_invoke), None)
            if newer is not None:
                yield (
                    "stale",
                    f"{op.op} of epoch {epoch} was accepted after epoch {newer.epoch} was delivered",
                )
        if op.op != "extend":
            settled.add(op.request)


def _ordered(job: _Job) -> _Found:
    """attempts: more than allowed. epochs: two claims in one epoch, or an order that contradicts the attempts."""
    for one in job.deliveries:
        if not 1 <= one.attempt <= one.attempts_max:
            yield "attempts", f"attempt {one.attempt} of {one.attempts_max}"
    for first, second in zip(job.deliveries, job.deliveries[1:], strict=False):
        if first.epoch == second.epoch and first.token != second.token:
            yield "epochs", f"epoch {first.epoch} was given to {first.client} and to {second.client}"
        elif first.attempt > second.attempt:
            yield "epochs", f"epoch {second.epoch} is attempt {second.attempt}, after attempt {first.attempt}"


def _run_as_told(job: _Job) -> _Found:
    """unexpected: a handler ran an attempt that its worker had not been given, or ran it twice."""
    given = {(one.client, one.epoch) for one in job.deliveries}
    started: Counter[tuple[str, int]] = Counter()
    for run in job.runs:
        if (run.client, run.epoch) not in given:
            yield "unexpected", f"{run.client} ran epoch {run.epoch} without having been given it"
        started[run.client, run.epoch] += not run.finished
    for (client, epoch), n in started.items():
        if n > 1:
            yield "unexpected", f"{client} ran epoch {epoch} {n} times"


def _keys(history: History, jobs: dict[str, _Job]) -> Iterator[Violation]:
    """keys: one idempotency key was answered with two jobs, or two jobs with it were delivered."""
    answered: dict[str, set[str]] = defaultdict(set)
    sent: dict[str, set[str]] = defaultdict(set)
    for op in history.ops:
        if op.op == "enqueue" and op.request:
            sent[op.request].add(op.job)
            if op.outcome == "ok":
                answered[op.request].add(op.reply or op.job)
    for key, ids in sent.items():
        if len(answered[key]) > 1:
            yield Violation("keys", key, f"was answered with jobs {', '.join(sorted(answered[key]))}")
        ran = sorted(job for job in ids if jobs[job].deliveries)
        if len(ran) > 1:
            yield Violation("keys", key, f"jobs {', '.join(ran)} were delivered")


def _applied(op: Op) -> bool:
    return op.outcome == "ok" and (op.reply.startswith("OK") or op.reply == "CANCELLED")


def _counts(history: History, jobs: dict[str, _Job], final: Final) -> dict[str, int]:
    done = {op.job for op in history.ops if op.op == "ack" and op.outcome == "ok" and op.reply == "OK"}
    enqueued = {
        op.job for op in history.ops if op.op == "enqueue" and op.outcome == "ok" and op.reply == op.job
    }
    return {
        "jobs": len(jobs),
        "enqueued": len(enqueued),
        "enqueues unknown": sum(op.op == "enqueue" and op.outcome == "unknown" for op in history.ops),
        "deliveries": len(history.deliveries),
        "done": len(done),
        "stale refused": sum(op.reply.partition(" ")[0] == "LEASE_LOST" for op in history.ops),
        "live": len(final.live),
        "dead": len(final.dead),
    }
