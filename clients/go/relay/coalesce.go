package relay

// Natural batching: calls to one queue that run at the same time share RPCs, without a timer.

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// A caller that waits for another's call gives up this much later, to get the error of that call and not a timeout.
const coalesceSlack = 200 * time.Millisecond

// sender makes the calls; a failure of a whole call is the result of each of its jobs.
type sender func(ctx context.Context, queue string, jobs []*relayv1.JobSpec) []Result

// waitingCaller is one call in line; answer gets its result, once.
type waitingCaller struct {
	job      *relayv1.JobSpec
	size     int
	deadline time.Time
	answer   chan Result
	left     atomic.Bool // the caller gave up while in line
}

type coalescer struct {
	base context.Context // of the calls, which no single caller may end
	send sender

	mu      sync.Mutex
	lines   map[string][]*waitingCaller // a queue is here while a goroutine sends for it
	closed  bool
	drainer sync.WaitGroup
}

func newCoalescer(base context.Context, send sender) *coalescer {
	return &coalescer{base: base, send: send, lines: map[string][]*waitingCaller{}}
}

// enqueue sends the job, alone or with others. A caller that gives up takes its job out of the line if it was not sent yet,
// and changes nothing for the others. ctx has a deadline.
func (c *coalescer) enqueue(ctx context.Context, queue string, job *relayv1.JobSpec) Result {
	deadline, _ := ctx.Deadline()
	caller := &waitingCaller{job: job, size: sizeOf(job), deadline: deadline, answer: make(chan Result, 1)}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Result{Err: closedError("this client is closed; make a new one")}
	}
	line, busy := c.lines[queue]
	c.lines[queue] = append(line, caller)
	if !busy {
		c.drainer.Go(func() { c.drain(queue) })
	}
	c.mu.Unlock()
	select {
	case result := <-caller.answer:
		return result
	case <-ctx.Done():
	}
	if ctx.Err() == context.DeadlineExceeded {
		// The shared call ends at the same moment, and knows why.
		timer := time.NewTimer(coalesceSlack)
		defer timer.Stop()
		select {
		case result := <-caller.answer:
			return result
		case <-timer.C:
		}
	}
	caller.left.Store(true)
	return Result{Err: fromContext(ctx, "the call ended before the server answered; repeat it with the same job id to find out whether it was applied")}
}

func (c *coalescer) drain(queue string) {
	for {
		batch := c.take(queue)
		if len(batch) == 0 {
			return
		}
		jobs := make([]*relayv1.JobSpec, len(batch))
		deadline := batch[0].deadline
		for i, caller := range batch {
			jobs[i] = caller.job
			// The latest deadline, so that the call is cut short for no caller; the others give up by themselves.
			if caller.deadline.After(deadline) {
				deadline = caller.deadline
			}
		}
		ctx, cancel := context.WithDeadline(c.base, deadline)
		for i, result := range c.send(ctx, queue, jobs) {
			batch[i].answer <- result
		}
		cancel()
	}
}

// take gives the next callers in line; none ends the line.
func (c *coalescer) take(queue string) []*waitingCaller {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := c.lines[queue]
	var batch []*waitingCaller
	size, taken := 0, 0
	for _, caller := range line {
		if len(batch) == batchJobsMax || len(batch) > 0 && size+caller.size > coalescedBytesMax {
			break
		}
		taken++
		if caller.left.Load() {
			continue
		}
		batch = append(batch, caller)
		size += caller.size
	}
	if len(batch) == 0 {
		delete(c.lines, queue)
		return nil
	}
	c.lines[queue] = line[taken:]
	return batch
}

// close refuses further callers and waits for the lines to end; base has been cancelled.
func (c *coalescer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.drainer.Wait()
}
