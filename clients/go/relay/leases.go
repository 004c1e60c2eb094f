package relay

// The table of held jobs and their leases.

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// leaseKeeper is the table of held jobs and their heartbeat. Its goroutine never waits for an answer, so a silent server cannot
// keep it from noticing that a lease has run out.
type leaseKeeper struct {
	stubs  *rotation
	window *window
	logger *slog.Logger
	// Called without any lock; outcome is LEASE_LOST, GONE or CANCELLED.
	onStop func(*heldJob, relayv1.LeaseOutcome)

	wake  chan struct{}
	calls sync.WaitGroup

	mu           sync.Mutex
	groups       map[*leaseGroup]struct{}
	withProgress map[*heldJob]struct{} // jobs with a progress to report
	progressAt   time.Time
	restateAt    time.Time // when to send the window; zero when it is not asked for
	extendEvery  time.Duration
}

func newLeaseKeeper(stubs *rotation, window *window, logger *slog.Logger, lease time.Duration, onStop func(*heldJob, relayv1.LeaseOutcome)) *leaseKeeper {
	return &leaseKeeper{
		stubs: stubs, window: window, logger: logger, onStop: onStop, wake: make(chan struct{}, 1),
		groups: map[*leaseGroup]struct{}{}, withProgress: map[*heldJob]struct{}{}, extendEvery: lease / 3,
	}
}

func (k *leaseKeeper) setExtendEvery(every time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.extendEvery = every
}

// add takes a frame: its jobs are kept alive from now, whether or not a handler has started. It returns the new ones:
// a job that is held under the same token already was delivered twice, and runs once.
func (k *leaseKeeper) add(frame *relayv1.Jobs, now time.Time) []*heldJob {
	k.mu.Lock()
	defer k.mu.Unlock()
	group := received(frame, now, k.extendEvery)
	var fresh []*heldJob
	// In the frame's order, which is the queue's.
	for _, claimed := range frame.GetJobs() {
		job := group.jobs[claimed.GetJob().GetId()]
		switch {
		case job == nil || job.claimed != claimed: // twice in this frame: the later one counts
		case k.holds(group, job.id):
			delete(group.jobs, job.id)
		default:
			fresh = append(fresh, job)
		}
	}
	if len(group.jobs) > 0 {
		k.groups[group] = struct{}{}
	}
	k.nudge()
	return fresh
}

func (k *leaseKeeper) holds(like *leaseGroup, id string) bool {
	for group := range k.groups {
		if group.jobs[id] != nil && group.queue == like.queue && bytes.Equal(group.token, like.token) {
			return true
		}
	}
	return false
}

// remove forgets jobs that are settled or lost: their leases are no longer extended.
func (k *leaseKeeper) remove(jobs []*heldJob) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, job := range jobs {
		delete(job.group.jobs, job.id)
		delete(k.withProgress, job)
		if len(job.group.jobs) == 0 {
			delete(k.groups, job.group)
		}
	}
}

// held gives all leases, as a reconnecting stream names them.
func (k *leaseKeeper) held() []*relayv1.LeaseGroup {
	k.mu.Lock()
	defer k.mu.Unlock()
	var leases []*relayv1.LeaseGroup
	left := inFlightMax
	for group := range k.groups {
		one := &relayv1.LeaseGroup{Queue: group.queue, LeaseToken: group.token}
		for id := range group.jobs {
			if left == 0 {
				break
			}
			one.JobIds = append(one.JobIds, id)
			left--
		}
		if len(one.JobIds) > 0 {
			leases = append(leases, one)
		}
	}
	return leases
}

// alive is true while a job's lease lasts.
func (k *leaseKeeper) alive(job *heldJob, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return job.deadline.After(now)
}

// progress takes a progress for one of the next heartbeats; a later one replaces it.
func (k *leaseKeeper) progress(job *heldJob, fraction float64, note string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if job.group.jobs[job.id] != job {
		return
	}
	job.progress = &relayv1.JobProgress{JobId: job.id, Fraction: fraction, Note: note}
	k.withProgress[job] = struct{}{}
	k.nudge()
}

// restateWindow has the window sent to the server at once.
func (k *leaseKeeper) restateWindow() {
	k.restateSoon(0)
	k.nudge()
}

func (k *leaseKeeper) restateSoon(pause time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := time.Now().Add(pause)
	if k.restateAt.IsZero() || at.Before(k.restateAt) {
		k.restateAt = at
	}
}

func (k *leaseKeeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// stop stops the jobs that the server cancelled.
func (k *leaseKeeper) stop(jobs []*relayv1.CancelledJob) {
	for _, cancelled := range jobs {
		for _, job := range k.named(cancelled) {
			k.onStop(job, cancelled.GetOutcome())
		}
	}
}

func (k *leaseKeeper) named(cancelled *relayv1.CancelledJob) []*heldJob {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []*heldJob
	for group := range k.groups {
		if job := group.jobs[cancelled.GetJobId()]; job != nil && group.queue == cancelled.GetQueue() {
			found = append(found, job)
		}
	}
	if cancelled.GetOutcome() == relayv1.LeaseOutcome_LEASE_OUTCOME_CANCELLED || len(found) < 2 {
		return found
	}
	// Held under two tokens: the server has just given the newer one, so the older one is lost.
	slices.SortFunc(found, func(a, b *heldJob) int { return int(a.claimed.GetEpoch() - b.claimed.GetEpoch()) })
	return found[:len(found)-1]
}
