package relay

// Wires the parts of a worker together and owns the order in which they start and stop.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const flushWithin = 5 * time.Second

// Worker claims jobs and runs their handlers.
type Worker struct {
	config   workerConfig
	handlers map[string]*handler

	stream *rotation // of the stream alone, so that no settle waits behind its frames
	calls  *rotation

	window   *window
	leases   *leaseKeeper
	settler  *settler
	claims   *claims
	executor *executor

	mu       sync.Mutex
	started  bool
	draining bool
}

// NewWorker makes a worker for a target as [New] takes it. Register handlers with [Handle], then call [Worker.Run].
func NewWorker(target string, options ...WorkerOption) (*Worker, error) {
	config := defaultWorkerConfig()
	for _, option := range options {
		if err := option.applyWorker(&config); err != nil {
			return nil, err
		}
	}
	if err := config.connection.finish(target); err != nil {
		return nil, err
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	w := &Worker{config: config, handlers: map[string]*handler{}}
	logger := config.logger
	w.stream, w.calls = newRotation(&w.config.connection), newRotation(&w.config.connection)
	w.window = &window{limit: config.concurrency}
	w.leases = newLeaseKeeper(w.calls, w.window, logger, config.lease, w.stopJob)
	w.settler = newSettler(w.calls, w.window, w.leases, logger, config.lease, w.settled)
	w.executor = &executor{
		handlers: w.handlers, concurrency: config.concurrency, logger: logger, busy: map[*heldJob]struct{}{},
		onEnd: w.ended, onSlotFree: w.slotFree, progress: w.leases.progress,
	}
	w.claims = &claims{
		stubs: w.stream, window: w.window, leases: w.leases, logger: logger, config: &w.config,
		keepAlive: keepAliveDefault, lastFrameAt: time.Now(), onJobs: w.executor.start,
	}
	return w, nil
}

// Run works until ctx ends, then drains: it claims no more, lets running handlers finish within the grace, releases
// the other jobs, and closes. A worker runs once. For SIGTERM, make ctx with signal.NotifyContext.
//
// The error is nil after a drain, and otherwise why the worker cannot go on: the server refused it for a reason that
// repeating will not cure.
func (w *Worker) Run(ctx context.Context) error {
	w.mu.Lock()
	if w.started {
		w.mu.Unlock()
		return errors.New("relay: this worker has run; make a new one")
	}
	w.started = true
	w.mu.Unlock()

	beats, stopBeats := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { w.leases.run(beats) })

	// Claiming ends by itself only for good; otherwise it is ended when ctx is, after the window was closed.
	claiming, stopClaiming := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.claims.run(claiming) }()
	var fatal error
	select {
	case fatal = <-ended:
	case <-ctx.Done():
	}
	w.drain(func() {
		stopClaiming()
		if fatal == nil {
			fatal = <-ended
		}
	})
	stopClaiming()
	stopBeats()
	parts.Wait()
	w.stream.close()
	w.calls.close()
	return fatal
}

func (w *Worker) drain(stopClaims func()) {
	w.mu.Lock()
	w.draining = true
	w.mu.Unlock()
	logger := w.config.logger
	logger.Info("draining", "in_flight", w.window.inFlight(), "grace", w.config.grace)
	graceEnds := time.Now().Add(w.config.grace)
	w.claims.lastReport(w.calls)
	stopClaims()
	if !w.executor.drain(max(0, time.Until(graceEnds))) {
		if left := w.executor.stopAll(stopWithin); left > 0 {
			logger.Warn("handlers did not stop; their jobs were released", "handlers", left)
		}
	}
	unsettled := w.settler.close(flushWithin)
	logger.Info("stopped", "unsettled", unsettled)
}

// Connected says whether a claim stream is open now.
func (w *Worker) Connected() bool { return w.claims.connected.Load() }

// Health is nil when well; otherwise the reason, for people: draining, or too long without a frame from a server. A
// reconnection that takes a moment is well.
func (w *Worker) Health() error {
	w.mu.Lock()
	started, draining := w.started, w.draining
	w.mu.Unlock()
	if draining {
		return errors.New("relay: the worker is draining")
	}
	if !started {
		return errors.New("relay: the worker was not started")
	}
	if since, limit := w.claims.silence(time.Now()); since > limit {
		return fmt.Errorf("relay: no frame from the server for %v (limit %v)", since.Round(time.Second), limit)
	}
	return nil
}

// stopJob: the lease is lost or the job cancelled.
func (w *Worker) stopJob(job *heldJob, outcome relayv1.LeaseOutcome) {
	why, cause := stopLost, ErrLeaseLost
	switch outcome {
	case relayv1.LeaseOutcome_LEASE_OUTCOME_CANCELLED:
		why, cause = stopCancelled, ErrJobCancelled
	case relayv1.LeaseOutcome_LEASE_OUTCOME_GONE:
		cause = ErrJobGone
	}
	if !w.executor.interrupt(job, why, cause) {
		return // it was stopped already; or it is being settled, and the answer brings the outcome
	}
	if why == stopLost {
		w.leases.remove([]*heldJob{job})
	}
	w.config.logger.Warn("job stopped", "job_id", job.id, "queue", job.queue(), "outcome", outcome.String())
}

// ended: a job has its outcome.
func (w *Worker) ended(job *heldJob, idle bool) {
	result := job.outcome
	if result.action == actDrop {
		w.leases.remove([]*heldJob{job})
		w.window.gone([]*heldJob{job})
		w.leases.restateWindow()
		return
	}
	if result.err != nil {
		w.config.logger.Warn("job failed",
			"job_id", job.id, "queue", job.queue(), "job_type", job.claimed.GetJob().GetType(), "attempt", job.claimed.GetAttempt(),
			"kind", result.word(), "error_type", result.err.GetType(), "error", result.err.GetMessage())
	}
	w.settler.add(job, idle)
}

func (w *Worker) slotFree(job *heldJob) {
	if w.window.slotFree(job) {
		w.leases.restateWindow()
	}
}

// settled: the server answered, or the job was given up.
func (w *Worker) settled(job *heldJob, outcome relayv1.LeaseOutcome) {
	switch outcome {
	case relayv1.LeaseOutcome_LEASE_OUTCOME_OK, relayv1.LeaseOutcome_LEASE_OUTCOME_CANCELLED:
	default:
		w.config.logger.Warn("settled too late", "job_id", job.id, "queue", job.queue(), "outcome", outcome.String())
	}
}

func defaultWorkerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	id := fmt.Sprintf("%s:%d", host, os.Getpid())
	return id[max(0, len(id)-workerIDBytesMax):]
}
