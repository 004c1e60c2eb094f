package relay

// Runs handlers: each under its deadline, never more at once than there are slots, and stops those that must stop.

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// How long a handler may take to return after its context has ended.
const stopWithin = time.Second

// executor has the slots: each runs one handler.
type executor struct {
	handlers    map[string]*handler
	concurrency int
	logger      *slog.Logger
	// onEnd is called once for each job; idle: nothing else runs.
	onEnd func(job *heldJob, idle bool)
	// onSlotFree: a handler that outlived its job's settle has ended.
	onSlotFree func(*heldJob)
	progress   func(job *heldJob, fraction float64, note string)

	mu      sync.Mutex
	busy    map[*heldJob]struct{}
	waiting []*heldJob
	quiet   chan struct{} // closed once nothing runs; nil while nobody waits for that
}

// start begins jobs. A job without a slot waits; a server that respects the window never sends one.
func (e *executor) start(jobs []*heldJob) {
	e.mu.Lock()
	e.waiting = append(e.waiting, jobs...)
	begin := e.next()
	e.mu.Unlock()
	e.begin(begin)
}

func (e *executor) next() []*heldJob {
	var begin []*heldJob
	for len(e.waiting) > 0 && len(e.busy) < e.concurrency {
		job := e.waiting[0]
		e.waiting[0], e.waiting = nil, e.waiting[1:]
		e.busy[job] = struct{}{}
		begin = append(begin, job)
	}
	return begin
}

func (e *executor) begin(jobs []*heldJob) {
	for _, job := range jobs {
		go e.run(job)
	}
}

func (e *executor) run(job *heldJob) {
	jobType := job.claimed.GetJob().GetType()
	own := e.handlers[jobType]
	if own == nil {
		e.end(job, outcomeOf(&unknownJobTypeError{jobType}, stopNo))
		return
	}
	// Not the worker's context: that one ends when draining begins, and handlers may finish within the grace.
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	e.mu.Lock()
	stopped := job.stop
	job.cancel = cancel
	e.mu.Unlock()
	if stopped != stopNo {
		e.end(job, outcomeOf(context.Canceled, stopped))
		return
	}
	limit, limited := limitOf(job, own, time.Now())
	if limited {
		timer := time.AfterFunc(limit, func() { e.interrupt(job, stopMaxRuntime, ErrMaxRuntime) })
		defer timer.Stop()
		late := time.AfterFunc(limit+stopWithin, func() { e.overdue(job, limit) })
		defer late.Stop()
	}
	ctx = WithTraceparent(ctx, job.claimed.GetJob().GetHeaders()[traceparentHeader])
	// The error that stays when the handler ends its goroutine, which runs nothing but deferred calls.
	var err error = &goexitError{}
	defer func() {
		stopped := e.reason(job)
		if _, isVerdict := find[*verdict](err); stopped == stopMaxRuntime && err != nil && !isVerdict {
			err = &maxRuntimeError{limit}
		}
		e.end(job, outcomeOf(err, stopped))
	}()
	err = call(ctx, own, newJob(job, e.logger, func(fraction float64, note string) { e.progress(job, fraction, note) }))
}

// call runs the handler and turns a panic into an error.
func call(ctx context.Context, own *handler, job *Job) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value, string(debug.Stack())}
		}
	}()
	return own.run(ctx, job)
}

// limitOf is how long the handler may still run: its own limit from now, the job's from its claim, whichever ends first.
func limitOf(job *heldJob, own *handler, now time.Time) (time.Duration, bool) {
	limit := own.maxRuntime
	if ofJob := job.claimed.GetJob().GetMaxRuntime().AsDuration(); ofJob > 0 {
		left := max(job.receivedAt.Add(ofJob).Sub(now), time.Nanosecond)
		if limit <= 0 || left < limit {
			limit = left
		}
	}
	return limit, limit > 0
}

// overdue settles a job whose handler does not stop. Its slot stays taken until the handler returns.
func (e *executor) overdue(job *heldJob, limit time.Duration) {
	if e.settle(job, outcomeOf(&maxRuntimeError{limit}, e.reason(job)), false) {
		e.logger.Warn("handler over its time still runs and keeps its slot", "job_id", job.id, "job_type", job.claimed.GetJob().GetType())
	}
}

func (e *executor) reason(job *heldJob) stopReason {
	e.mu.Lock()
	defer e.mu.Unlock()
	return job.stop
}

// interrupt stops a job's handler. False when the job is settled, or was stopped for that reason already.
func (e *executor) interrupt(job *heldJob, why stopReason, cause error) bool {
	e.mu.Lock()
	if job.settled || job.stop == stopLost || job.stop == why {
		e.mu.Unlock()
		return false
	}
	job.stop = why
	waited := false
	for i, one := range e.waiting {
		if one == job {
			e.waiting = append(e.waiting[:i], e.waiting[i+1:]...)
			waited = true
			break
		}
	}
	cancel := job.cancel
	e.mu.Unlock()
	if waited {
		e.end(job, outcomeOf(context.Canceled, why))
	} else if cancel != nil {
		cancel(cause)
	}
	return true
}

// drain releases jobs that have not started and waits for the others; claiming has ended. False when some still run after that time.
func (e *executor) drain(within time.Duration) bool {
	e.mu.Lock()
	unstarted := e.waiting
	e.waiting = nil
	e.mu.Unlock()
	for _, job := range unstarted {
		e.end(job, release)
	}
	return e.waitQuiet(within)
}

// stopAll stops all handlers and releases their jobs. It returns how many did not stop in that time.
func (e *executor) stopAll(within time.Duration) int {
	for _, job := range e.running() {
		e.interrupt(job, stopShutdown, ErrShutdown)
	}
	if e.waitQuiet(within) {
		return 0
	}
	left := e.running()
	for _, job := range left {
		e.settle(job, outcomeOf(context.Canceled, e.reason(job)), false)
	}
	return len(left)
}

func (e *executor) running() []*heldJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	jobs := make([]*heldJob, 0, len(e.busy))
	for job := range e.busy {
		jobs = append(jobs, job)
	}
	return jobs
}

func (e *executor) waitQuiet(within time.Duration) bool {
	e.mu.Lock()
	if len(e.busy) == 0 {
		e.mu.Unlock()
		return true
	}
	quiet := make(chan struct{})
	e.quiet = quiet
	e.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-quiet:
		return true
	case <-timer.C:
		return false
	}
}

// end: the handler has ended, its slot is free, and this outcome counts unless the job has one already.
func (e *executor) end(job *heldJob, result outcome) {
	first := e.settle(job, result, true)
	if !first {
		e.onSlotFree(job)
	}
}

// settle passes the first outcome of a job on; ended frees its slot. False when the job has one already.
func (e *executor) settle(job *heldJob, result outcome, ended bool) bool {
	e.mu.Lock()
	var begin []*heldJob
	var quiet chan struct{}
	if ended {
		delete(e.busy, job)
		begin = e.next()
		if len(e.busy) == 0 {
			quiet, e.quiet = e.quiet, nil
		}
	}
	first := !job.settled
	if first {
		job.settled, job.outcome = true, result
		if ended {
			job.busy = false
		}
	}
	idle := len(e.busy) == 0
	e.mu.Unlock()
	e.begin(begin)
	if first {
		e.onEnd(job, idle)
	}
	if quiet != nil {
		// Last, so that the settler has the job before drain goes on.
		close(quiet)
	}
	return first
}
