package relay

// The producer: enqueues jobs from any number of goroutines.

import (
	"context"
	"fmt"
	"sync"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// ClientOption is an option of [New]: a [ConnectionOption] or [WithTimeout].
type ClientOption interface{ applyClient(*clientConfig) error }

type clientConfig struct {
	connection
	timeout time.Duration
}

type clientOption func(*clientConfig) error

func (o clientOption) applyClient(c *clientConfig) error { return o(c) }

// WithTimeout is the total time of a call with its repeats, unless its context ends sooner: above 0 and below 30 s, half of
// the time for which a server recognises a repeated request. The default is 20 s.
func WithTimeout(timeout time.Duration) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if timeout <= 0 || timeout >= timeoutEnd {
			return invalid("timeout", fmt.Sprintf("%v is not above 0 and below %v, half of the time for which a server recognises a repeat", timeout, timeoutEnd))
		}
		c.timeout = timeout
		return nil
	})
}

// Client enqueues jobs. It is made once and shared by any number of goroutines; calls that run at the same time share one
// RPC per queue, and a lone call is sent at once.
type Client struct {
	config    clientConfig
	stubs     *rotation
	coalescer *coalescer
	base      context.Context
	cancel    context.CancelCauseFunc
}

// New makes a client for "host:port", several separated by commas (tried in random order, the next one when one does not
// answer), "dns:///name:port" (calls go round all addresses) or "unix:/path"; port 50051 may be left out.
//
// It connects on first use. ctx bounds the client's life: when it ends, calls fail. Close the client in any case.
func New(ctx context.Context, target string, options ...ClientOption) (*Client, error) {
	config := clientConfig{timeout: defaultTimeout}
	for _, option := range options {
		if err := option.applyClient(&config); err != nil {
			return nil, err
		}
	}
	if err := config.finish(target); err != nil {
		return nil, err
	}
	client := &Client{config: config}
	client.stubs = newRotation(&client.config.connection)
	client.base, client.cancel = context.WithCancelCause(ctx)
	client.coalescer = newCoalescer(client.base, client.send)
	return client, nil
}

// Enqueue adds one job to a queue; [NewJob] explains how the payload is encoded.
//
// A call that finds no server is repeated with the same ids, so that a repeat never makes a second job, until its timeout.
// Every other failure is returned at once, as an [*Error].
func (c *Client) Enqueue(ctx context.Context, queue, jobType string, payload any, options ...JobOption) (Enqueued, error) {
	spec := NewJob(jobType, payload, options...)
	if spec.err != nil {
		return Enqueued{}, spec.err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.timeout)
	defer cancel()
	result := c.coalescer.enqueue(ctx, queue, trace(ctx, spec.wire))
	return result.Enqueued, result.Err
}

// EnqueueBatch adds many jobs to a queue, one result for each, in their order. Jobs are cut into calls of at most 500 jobs
// and 3 MiB, a few in flight at once; the timeout is that of one such call.
//
// The error is nil when every call was answered; then single jobs may still be refused (Result.Err). The first call that
// fails as a whole stops the run: its jobs and all after it carry its error, which is returned as well.
func (c *Client) EnqueueBatch(ctx context.Context, queue string, jobs []JobSpec) ([]Result, error) {
	results := make([]Result, len(jobs))
	wires := make([]*relayv1.JobSpec, len(jobs))
	for place, job := range jobs {
		switch {
		case job.err != nil:
			results[place].Err = job.err
		case job.wire == nil:
			results[place].Err = invalid("job", "is empty; make it with NewJob")
		default:
			wires[place] = trace(ctx, job.wire)
		}
	}
	run := bulk{results: results, slots: make(chan struct{}, bulkCallsMax)}
	for _, part := range chunksOf(wires) {
		run.slots <- struct{}{}
		if failure := run.failure(); failure != nil {
			<-run.slots
			run.settle(part, failures(failure, len(part.jobs)), failure)
			continue
		}
		run.calls.Go(func() {
			defer func() { <-run.slots }()
			limited, cancel := c.limited(ctx)
			defer cancel()
			answered, failure := c.sendWhole(limited, queue, part.jobs)
			run.settle(part, answered, failure)
		})
	}
	run.calls.Wait()
	if failure := run.failure(); failure != nil {
		return results, failure
	}
	return results, nil
}

// Close ends the client and every goroutine of it. Calls still in flight end with ErrClosed. It may be repeated.
func (c *Client) Close() error {
	c.cancel(ErrClosed)
	c.coalescer.close()
	c.stubs.close()
	return nil
}

// limited is the caller's context with the client's timeout, which ends with the client as well.
func (c *Client) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.base, func() { cancel(context.Cause(c.base)) })
	ctx, cancelTimeout := context.WithTimeout(ctx, c.config.timeout)
	return ctx, func() { stop(); cancelTimeout(); cancel(nil) }
}

// send enqueues the jobs; a failure of the call is the result of each job.
func (c *Client) send(ctx context.Context, queue string, jobs []*relayv1.JobSpec) []Result {
	results, _ := c.sendWhole(ctx, queue, jobs)
	return results
}

// sendWhole enqueues the jobs with as few calls as the server allows. The error is that of a call that failed for all of
// its jobs; every job has a result in any case.
func (c *Client) sendWhole(ctx context.Context, queue string, jobs []*relayv1.JobSpec) ([]Result, *Error) {
	results, failure := c.sendOnce(ctx, queue, jobs)
	if failure == nil {
		return results, nil
	}
	refused, groups := sortOut(failure, len(jobs))
	if len(refused) == 0 && len(groups) == 0 {
		if len(jobs) == 1 && isAboutJob(failure) {
			return failures(failure, 1), nil
		}
		return failures(failure, len(jobs)), failure
	}
	results = make([]Result, len(jobs))
	for place, own := range refused {
		results[place].Err = own
	}
	var whole *Error
	for _, places := range groups {
		part := make([]*relayv1.JobSpec, len(places))
		for i, place := range places {
			part[i] = jobs[place]
		}
		answered, failure := c.sendWhole(ctx, queue, part)
		if whole == nil {
			whole = failure
		}
		for i, place := range places {
			results[place] = answered[i]
		}
	}
	return results, whole
}

func (c *Client) sendOnce(ctx context.Context, queue string, jobs []*relayv1.JobSpec) ([]Result, *Error) {
	if len(jobs) == 1 {
		request := &relayv1.EnqueueRequest{Queue: queue, Job: jobs[0]}
		var answer *relayv1.EnqueueResponse
		failure := c.stubs.call(ctx, func(ctx context.Context, at *stub) (err error) {
			answer, err = at.queue.Enqueue(ctx, request)
			return err
		})
		if failure != nil {
			return nil, failure
		}
		return []Result{{Enqueued: Enqueued{answer.GetJobId(), answer.GetDeduplicated()}}}, nil
	}
	// A request id of its own; exactly this message is repeated, so that a repeat is recognised.
	request := &relayv1.EnqueueBatchRequest{Queue: queue, Jobs: jobs, RequestId: NewID()}
	var answer *relayv1.EnqueueBatchResponse
	failure := c.stubs.call(ctx, func(ctx context.Context, at *stub) (err error) {
		answer, err = at.queue.EnqueueBatch(ctx, request)
		return err
	})
	if failure != nil {
		return nil, failure
	}
	return toResults(answer, jobs)
}

func isAboutJob(failure *Error) bool {
	switch failure.kind {
	case ErrInvalidField, ErrTooLarge, ErrQueueFull, ErrIdempotencyMismatch:
		return true
	}
	return false
}

// failures gives each job the same failure, as an object of its own.
func failures(failure *Error, count int) []Result {
	results := make([]Result, count)
	for i := range results {
		results[i].Err = failure.clone()
	}
	return results
}

// bulk is the course of one EnqueueBatch.
type bulk struct {
	slots chan struct{}
	calls sync.WaitGroup

	mu      sync.Mutex
	results []Result
	stopped *Error
}

func (b *bulk) failure() *Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stopped
}

func (b *bulk) settle(part chunk, answered []Result, failure *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped == nil {
		b.stopped = failure
	}
	for i, place := range part.places {
		b.results[place] = answered[i]
	}
}
