package relay

// Keeps leases alive: extends them in time, and reports lost ones.

import (
	"context"
	"slices"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const (
	progressEvery    = time.Second
	extendRetryEvery = time.Second
	extendEveryMin   = 100 * time.Millisecond
	restateRetry     = 10 * time.Millisecond
	keeperTick       = time.Second
)

// run beats until ctx ends.
func (k *leaseKeeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			k.calls.Wait()
			return
		case <-k.wake:
		case <-timer.C:
		}
		timer.Reset(k.runOnce(ctx, time.Now()))
	}
}

// runOnce sends the heartbeats that are due and reports ended leases. It returns the time until the next call, at most.
func (k *leaseKeeper) runOnce(ctx context.Context, now time.Time) time.Duration {
	k.mu.Lock()
	var expired []*heldJob
	for group := range k.groups {
		if !group.deadline.After(now) {
			expired = append(expired, group.expire(now)...)
		}
	}
	k.mu.Unlock()
	// Before the heartbeats are built: one for a lease that has ended could revive a job that nobody runs. Also when its
	// job is just being settled.
	k.remove(expired)
	for _, job := range expired {
		k.onStop(job, relayv1.LeaseOutcome_LEASE_OUTCOME_LEASE_LOST)
	}

	k.mu.Lock()
	requests := k.due(now)
	restate := !k.restateAt.IsZero() && !k.restateAt.After(now)
	if restate {
		k.restateAt = time.Time{}
	}
	next := k.nextLook(now)
	k.mu.Unlock()
	for _, jobs := range requests {
		k.extend(ctx, jobs, now)
	}
	if !restate {
		return next
	}
	if report := k.window.restatement(); report != nil {
		k.send(ctx, &relayv1.ExtendRequest{Window: report}, nil, now)
	} else if k.window.sessionID() != "" {
		k.restateSoon(restateRetry)
		return min(next, restateRetry)
	}
	return next
}

func (k *leaseKeeper) nextLook(now time.Time) time.Duration {
	next := now.Add(keeperTick)
	for group := range k.groups {
		next = earliest(next, group.extendAt, group.deadline)
	}
	if len(k.withProgress) > 0 {
		next = earliest(next, k.progressAt)
	}
	if !k.restateAt.IsZero() {
		next = earliest(next, k.restateAt)
	}
	return max(next.Sub(now), time.Millisecond)
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, other := range others {
		if other.Before(first) {
			first = other
		}
	}
	return first
}

// due gives the jobs to extend, 500 a call. When one is due, those that are due soon go with it.
func (k *leaseKeeper) due(now time.Time) [][]*heldJob {
	var jobs []*heldJob
	soon := now.Add(k.extendEvery / 4)
	anyDue := false
	for group := range k.groups {
		anyDue = anyDue || !group.extendAt.After(now)
	}
	if anyDue {
		for group := range k.groups {
			if group.extendAt.After(soon) {
				continue
			}
			group.extendAt = now.Add(k.extendEvery)
			for _, job := range group.jobs {
				jobs = append(jobs, job)
			}
		}
	} else if len(k.withProgress) > 0 && !now.Before(k.progressAt) {
		for job := range k.withProgress {
			jobs = append(jobs, job)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	k.progressAt = now.Add(progressEvery)
	for _, job := range jobs {
		delete(k.withProgress, job)
	}
	return slices.Collect(slices.Chunk(jobs, batchJobsMax))
}

func (k *leaseKeeper) extend(ctx context.Context, jobs []*heldJob, now time.Time) {
	request := &relayv1.ExtendRequest{Window: k.window.restatement()}
	k.mu.Lock()
	request.Leases, jobs = groupLeases(jobs)
	for _, job := range jobs {
		if job.progress != nil {
			request.Progress = append(request.Progress, job.progress)
			job.progress = nil
		}
	}
	k.mu.Unlock()
	k.send(ctx, request, jobs, now)
}

// groupLeases names the leases of jobs, and gives the jobs in the order of the answer: group by group.
func groupLeases(jobs []*heldJob) ([]*relayv1.LeaseGroup, []*heldJob) {
	places := map[*leaseGroup]int{}
	var leases []*relayv1.LeaseGroup
	var members [][]*heldJob
	for _, job := range jobs {
		place, ok := places[job.group]
		if !ok {
			place = len(leases)
			places[job.group] = place
			leases = append(leases, &relayv1.LeaseGroup{Queue: job.group.queue, LeaseToken: job.group.token})
			members = append(members, nil)
		}
		leases[place].JobIds = append(leases[place].JobIds, job.id)
		members[place] = append(members[place], job)
	}
	return leases, slices.Concat(members...)
}

func (k *leaseKeeper) send(ctx context.Context, request *relayv1.ExtendRequest, jobs []*heldJob, now time.Time) {
	k.mu.Lock()
	timeout := max(time.Second, k.extendEvery/2)
	k.mu.Unlock()
	k.calls.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		at, err := k.stubs.current()
		if err != nil {
			return // closed under us: the worker is ending
		}
		response, err := at.queue.Extend(ctx, request)
		if err == nil {
			k.apply(jobs, response.GetResults(), now)
			return
		}
		if ctx.Err() == context.Canceled {
			return
		}
		failure := fromRPC(err)
		k.logger.Warn("extend failed", "jobs", len(jobs), "target", at.target, "error", failure)
		if mayMoveOn(failure) {
			k.stubs.moveOn(at)
		}
		k.retrySoon(jobs)
	})
}

func (k *leaseKeeper) apply(jobs []*heldJob, results []*relayv1.ExtendResult, sentAt time.Time) {
	stopped := map[*heldJob]relayv1.LeaseOutcome{}
	k.mu.Lock()
	groups := map[*leaseGroup]struct{}{}
	for i, job := range jobs[:min(len(jobs), len(results))] {
		outcome := results[i].GetOutcome()
		if outcome == relayv1.LeaseOutcome_LEASE_OUTCOME_OK || outcome == relayv1.LeaseOutcome_LEASE_OUTCOME_CANCELLED {
			// Counted from the request, a lease is too short by one round trip at most.
			job.deadline = sentAt.Add(results[i].GetLeaseRemaining().AsDuration())
		}
		if outcome != relayv1.LeaseOutcome_LEASE_OUTCOME_OK {
			stopped[job] = outcome
		}
		groups[job.group] = struct{}{}
	}
	for group := range groups {
		k.reschedule(group, sentAt)
	}
	k.mu.Unlock()
	k.nudge()
	for job, outcome := range stopped {
		k.onStop(job, outcome)
	}
}

func (k *leaseKeeper) reschedule(group *leaseGroup, sentAt time.Time) {
	first := true
	for _, job := range group.jobs {
		if first || job.deadline.Before(group.deadline) {
			group.deadline, first = job.deadline, false
		}
	}
	third := group.deadline.Sub(sentAt) / 3
	group.extendAt = sentAt.Add(max(extendEveryMin, min(k.extendEvery, third)))
}

// retrySoon has jobs extended again after a pause; without jobs the call was a report of the window alone.
func (k *leaseKeeper) retrySoon(jobs []*heldJob) {
	k.mu.Lock()
	pause := min(extendRetryEvery, k.extendEvery/4)
	at := time.Now().Add(pause)
	for _, job := range jobs {
		job.group.extendAt = earliest(job.group.extendAt, at)
	}
	k.mu.Unlock()
	if len(jobs) == 0 {
		k.restateSoon(pause)
	}
	k.nudge()
}
