package relay

// The plain data that the parts of a worker hand to one another.

import (
	"context"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// leaseGroup is jobs that came under one token. Guarded by the lease keeper.
type leaseGroup struct {
	queue    string
	token    []byte
	jobs     map[string]*heldJob
	extendAt time.Time
	// The earliest end of its jobs' leases.
	deadline time.Time
}

// expire gives the jobs whose leases have ended; the group's deadline is then that of the others.
func (g *leaseGroup) expire(now time.Time) (over []*heldJob) {
	g.deadline = now.Add(leaseMax)
	for _, job := range g.jobs {
		if job.deadline.After(now) {
			g.deadline = earliest(g.deadline, job.deadline)
		} else {
			over = append(over, job)
		}
	}
	return over
}

// heldJob is a job this worker has a lease on, from receipt until it is settled or lost.
type heldJob struct {
	group      *leaseGroup
	claimed    *relayv1.ClaimedJob
	id         string
	receivedAt time.Time

	// Guarded by the lease keeper.
	deadline time.Time
	progress *relayv1.JobProgress

	// Guarded by the executor.
	stop    stopReason
	cancel  context.CancelCauseFunc
	settled bool

	// Written by the executor before the job is passed on.
	outcome outcome

	// Guarded by the window. busy: the handler still has its slot; it may outlive the settle, for a goroutine cannot be
	// killed. sent: the settle is on its way or answered, so the server no longer counts the job.
	busy bool
	sent bool
}

func (j *heldJob) queue() string { return j.group.queue }

// received is a frame as the worker keeps it.
func received(frame *relayv1.Jobs, now time.Time, extendEvery time.Duration) *leaseGroup {
	remaining := frame.GetLeaseRemaining().AsDuration()
	group := &leaseGroup{
		queue: frame.GetQueue(),
		token: frame.GetLeaseToken(),
		jobs:  make(map[string]*heldJob, len(frame.GetJobs())),
		// A frame may have waited on the way: extend it by the lease it has left, not by the one it started with.
		extendAt: now.Add(min(extendEvery, remaining/3)),
		deadline: now.Add(remaining),
	}
	for _, claimed := range frame.GetJobs() {
		id := claimed.GetJob().GetId()
		group.jobs[id] = &heldJob{group: group, claimed: claimed, id: id, receivedAt: now, deadline: group.deadline, busy: true}
	}
	return group
}
