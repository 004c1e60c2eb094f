package relay

// Settles jobs: gathers Acks and Nacks into few calls, repeated until they are answered or their leases are over.

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const (
	settleBatch  = 64
	settleLinger = 5 * time.Millisecond
	// Each Nack may carry 8 KiB of error; a request must stay far below gRPC's 4 MiB.
	nacksPerCallMax    = 128
	settleBackoffFirst = 50 * time.Millisecond
	settleBackoffMax   = time.Second
	settleCallMax      = 5 * time.Second
	// A worker that ends has little time to try again.
	closingPause = 100 * time.Millisecond
)

// settler has an outbox for each queue and kind of call, so that a queue in trouble delays no other. An outbox has one
// call on its way at a time; the jobs that finish meanwhile share the next one. Python's SDK shares calls between queues,
// because a call is expensive there; here the simpler rule is cheap enough.
type settler struct {
	stubs  *rotation
	window *window
	leases *leaseKeeper
	logger *slog.Logger
	// OK, LEASE_LOST, GONE or CANCELLED as the server said; UNSPECIFIED for a job that was given up.
	onSettled func(*heldJob, relayv1.LeaseOutcome)
	callTime  time.Duration

	closing chan struct{} // closed when the worker ends: nothing lingers any more
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu        sync.Mutex
	outboxes  map[outboxKey]*outbox
	unsettled int
}

type outboxKey struct {
	queue string
	nack  bool
}

// outbox holds finished jobs of one queue that wait for an Ack, or for a Nack.
type outbox struct {
	outboxKey
	jobs    []*heldJob
	running bool
	urgent  bool
	wake    chan struct{}
}

func newSettler(stubs *rotation, window *window, leases *leaseKeeper, logger *slog.Logger, lease time.Duration, onSettled func(*heldJob, relayv1.LeaseOutcome)) *settler {
	s := &settler{
		stubs: stubs, window: window, leases: leases, logger: logger, onSettled: onSettled,
		callTime: min(settleCallMax, max(500*time.Millisecond, lease/3)),
		closing:  make(chan struct{}), outboxes: map[outboxKey]*outbox{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// add takes a job whose outcome is Ack or Nack, and never waits. idle: no other job runs that could share its call.
func (s *settler) add(job *heldJob, idle bool) {
	key := outboxKey{job.queue(), job.outcome.action == actNack}
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.outboxes[key]
	if own == nil {
		own = &outbox{outboxKey: key, wake: make(chan struct{}, 1)}
		s.outboxes[key] = own
	}
	own.jobs = append(own.jobs, job)
	if idle {
		for _, other := range s.outboxes {
			other.urgent = len(other.jobs) > 0
			other.nudge()
		}
	} else if len(own.jobs) >= settleBatch {
		own.nudge()
	}
	if !own.running {
		own.running = true
		s.running.Go(func() { s.serve(own) })
	}
}

func (o *outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close sends the jobs that are left, for at most that time; it returns how many stayed unsettled.
func (s *settler) close(within time.Duration) int {
	close(s.closing)
	timer := time.AfterFunc(within, s.cancel)
	defer timer.Stop()
	s.running.Wait()
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsettled
}

// serve sends what the outbox has until it is empty.
func (s *settler) serve(own *outbox) {
	for {
		jobs := s.take(own)
		if len(jobs) == 0 {
			return
		}
		for tries := 0; len(jobs) > 0; tries++ {
			jobs = s.send(own, jobs, tries)
		}
	}
}

// take waits for further jobs and gives those of the next call; none when the outbox is empty, which ends it.
func (s *settler) take(own *outbox) []*heldJob {
	timer := time.NewTimer(settleLinger)
	defer timer.Stop()
	for lingers := true; lingers; {
		s.mu.Lock()
		if len(own.jobs) == 0 {
			own.running = false
			s.mu.Unlock()
			return nil
		}
		enough := own.urgent || len(own.jobs) >= settleBatch
		s.mu.Unlock()
		if enough {
			break
		}
		select {
		case <-own.wake:
		case <-timer.C:
			lingers = false
		case <-s.closing:
			lingers = false
		}
	}
	most := batchJobsMax
	if own.nack {
		most = nacksPerCallMax
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	count := min(most, len(own.jobs))
	jobs := append([]*heldJob(nil), own.jobs[:count]...)
	own.jobs = append(own.jobs[:0], own.jobs[count:]...)
	clear(own.jobs[len(own.jobs) : len(own.jobs)+count])
	own.urgent = own.urgent && len(own.jobs) > 0
	return jobs
}

// send makes one call. It gives the jobs to send again.
func (s *settler) send(own *outbox, jobs []*heldJob, tries int) []*heldJob {
	ctx, cancel := context.WithTimeout(s.ctx, s.callTime)
	defer cancel()
	report := s.window.settleBegins(jobs)
	at, err := s.stubs.current()
	var outcomes []relayv1.LeaseOutcome
	if err == nil {
		if own.nack {
			outcomes, err = nack(ctx, at, jobs, report)
		} else {
			jobs, outcomes, err = ack(ctx, at, jobs, report)
		}
	}
	if err != nil {
		s.window.settleFailed(jobs)
		return s.afterFailure(own, jobs, at, fromRPC(err), tries)
	}
	s.window.settleEnded()
	s.leases.remove(jobs)
	for i, job := range jobs[:min(len(jobs), len(outcomes))] {
		outcome := outcomes[i]
		if tries > 0 && outcome == relayv1.LeaseOutcome_LEASE_OUTCOME_GONE {
			// If the first try was applied and its answer lost, the repeat finds no job: that is success.
			outcome = relayv1.LeaseOutcome_LEASE_OUTCOME_OK
		}
		s.onSettled(job, outcome)
	}
	return nil
}

// afterFailure waits before the next try, and returns the jobs whose leases still last then.
func (s *settler) afterFailure(own *outbox, jobs []*heldJob, at *stub, failure *Error, tries int) []*heldJob {
	if isRefused(failure) {
		s.logger.Error("settle refused", "queue", own.queue, "jobs", len(jobs), "error", failure)
		s.giveUp(jobs)
		return nil
	}
	if tries == 0 {
		s.logger.Warn("settle failed, will be repeated", "queue", own.queue, "jobs", len(jobs), "error", failure)
	}
	if mayMoveOn(failure) {
		s.stubs.moveOn(at)
	}
	pause := rand.N(min(settleBackoffMax, settleBackoffFirst<<min(tries, 6)))
	select {
	case <-s.closing:
		wait(s.ctx, min(pause, closingPause))
	default:
		ctx, cancel := context.WithTimeout(s.ctx, pause)
		select {
		case <-ctx.Done():
		case <-s.closing:
		}
		cancel()
	}
	now := time.Now()
	var left, over []*heldJob
	for _, job := range jobs {
		if s.ctx.Err() == nil && s.leases.alive(job, now) {
			left = append(left, job)
		} else {
			over = append(over, job)
		}
	}
	s.giveUp(over)
	return left
}

// isRefused is true when repeating cannot help: the request itself was refused, or the worker closed its connections.
func isRefused(failure *Error) bool {
	switch failure.Code {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated:
		return true
	}
	return errors.Is(failure, ErrClosed)
}

func (s *settler) giveUp(jobs []*heldJob) {
	if len(jobs) == 0 {
		return
	}
	s.mu.Lock()
	s.unsettled += len(jobs)
	s.mu.Unlock()
	s.leases.remove(jobs)
	s.window.gone(jobs)
	s.leases.restateWindow()
	for _, job := range jobs {
		s.onSettled(job, relayv1.LeaseOutcome_LEASE_OUTCOME_UNSPECIFIED)
	}
}

func ack(ctx context.Context, at *stub, jobs []*heldJob, report *relayv1.WindowReport) ([]*heldJob, []relayv1.LeaseOutcome, error) {
	leases, jobs := groupLeases(jobs)
	response, err := at.queue.Ack(ctx, &relayv1.AckRequest{Leases: leases, Window: report})
	return jobs, response.GetOutcomes(), err
}

func nack(ctx context.Context, at *stub, jobs []*heldJob, report *relayv1.WindowReport) ([]relayv1.LeaseOutcome, error) {
	request := &relayv1.NackRequest{Window: report}
	for _, job := range jobs {
		one := &relayv1.NackedJob{
			Queue: job.queue(), JobId: job.id, LeaseToken: job.group.token, Kind: job.outcome.kind, Error: job.outcome.err,
		}
		if job.outcome.after != nil {
			one.After = durationpb.New(*job.outcome.after)
		}
		request.Jobs = append(request.Jobs, one)
	}
	response, err := at.queue.Nack(ctx, request)
	var outcomes []relayv1.LeaseOutcome
	for _, result := range response.GetResults() {
		outcomes = append(outcomes, result.GetOutcome())
	}
	return outcomes, err
}
