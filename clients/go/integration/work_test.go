package integration

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
	"github.com/relay-broker/relay/clients/go/relay"
)

type letter struct {
	To string `json:"to"`
}

func TestAJobArrivesAsItWasSent(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	type seen struct {
		job    relay.Job
		to     string
		parent string
	}
	letters, raws := make(chan seen, 1), make(chan []byte, 1)
	worker := newWorker(t, queue)
	relay.Handle(worker, "letter", func(ctx context.Context, job *relay.Job, payload letter) error {
		letters <- seen{*job, payload.To, relay.Traceparent(ctx)}
		return nil
	})
	relay.Handle(worker, "raw", func(_ context.Context, _ *relay.Job, payload []byte) error {
		raws <- payload
		return nil
	})
	drain := work(t, worker)
	ctx := relay.WithTraceparent(t.Context(), parent)
	id, err := client.Enqueue(ctx, queue, "letter", letter{"zoë@例え.jp"}, relay.Header("tenant", "ü"), relay.IdempotencyKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	mustEnqueue(t, client, queue, "raw", []byte{0, 0xff, 0xfe})
	got := take(t, letters)
	if got.job.ID != id.ID || got.to != "zoë@例え.jp" || got.parent != parent || got.job.Headers["tenant"] != "ü" || got.job.Attempt != 1 ||
		got.job.MaxAttempts != 20 || got.job.Epoch == 0 || got.job.IdempotencyKey != "k" || got.job.Queue != queue {
		t.Errorf("got %+v", got)
	}
	if raw := take(t, raws); string(raw) != "\x00\xff\xfe" {
		t.Errorf("got %q", raw)
	}
	eventually(t, "both acks", func() bool { return desk.stats(t, queue).GetCounters().GetAcked() == 2 })
	if !worker.Connected() || worker.Health() != nil {
		t.Errorf("connected %v, health %v", worker.Connected(), worker.Health())
	}
	drain()
	if worker.Health() == nil {
		t.Error("a worker that ended says it is well")
	}
}

func TestWhatAHandlerReturnsDecides(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	worker := newWorker(t, queue)
	attempts := make(chan string, 10)
	relay.Handle(worker, "later", func(_ context.Context, job *relay.Job, _ any) error {
		attempts <- fmt.Sprint("later ", job.Attempt)
		if job.Attempt == 1 {
			return fmt.Errorf("the mail server rests: %w", relay.RetryLater(time.Millisecond))
		}
		return nil
	})
	var throttled atomic.Bool
	relay.Handle(worker, "throttled", func(_ context.Context, job *relay.Job, _ any) error {
		attempts <- fmt.Sprint("throttled ", job.Attempt)
		if throttled.CompareAndSwap(false, true) {
			return relay.Throttled(time.Millisecond)
		}
		return nil
	})
	relay.Handle(worker, "reject", func(context.Context, *relay.Job, any) error { return relay.Reject("no such address") })
	relay.Handle(worker, "panic", func(context.Context, *relay.Job, any) error { panic("at the disco \xff") })
	relay.Handle(worker, "goexit", func(context.Context, *relay.Job, any) error { runtime.Goexit(); return nil })
	relay.Handle(worker, "fail", func(context.Context, *relay.Job, any) error { return errors.New("boom") })
	relay.Handle(worker, "letter", func(context.Context, *relay.Job, letter) error { return nil })
	work(t, worker)

	once := relay.Retry(relay.RetryPolicy{MaxAttempts: 1})
	mustEnqueue(t, client, queue, "later", nil)
	if one, two := take(t, attempts), take(t, attempts); one != "later 1" || two != "later 2" {
		t.Errorf("got %q, %q", one, two)
	}
	mustEnqueue(t, client, queue, "throttled", nil)
	if one, two := take(t, attempts), take(t, attempts); one != "throttled 1" || two != "throttled 1" {
		t.Errorf("got %q, %q", one, two)
	}
	for jobType, want := range map[string]struct {
		payload               any
		errorType, text, kind string
		stack                 bool
	}{
		"reject":  {nil, "Rejected", "no such address", "FAILURE_KIND_REJECTED", false},
		"panic":   {nil, "panic", "at the disco \uFFFD", "FAILURE_KIND_RETRY", true},
		"goexit":  {nil, "Goexit", "Goexit", "FAILURE_KIND_RETRY", false},
		"fail":    {nil, "error", "boom", "FAILURE_KIND_RETRY", false},
		"letter":  {[]int{1}, "UndecodablePayload", "cannot unmarshal array", "FAILURE_KIND_REJECTED", false},
		"unknown": {nil, "UnknownJobType", `"unknown"`, "FAILURE_KIND_RETRY", false},
	} {
		id := mustEnqueue(t, client, queue, jobType, want.payload, once)
		failure := desk.failure(t, queue, id)
		got := failure.GetError()
		if got.GetType() != want.errorType || !strings.Contains(got.GetMessage(), want.text) || failure.GetKind().String() != want.kind ||
			(got.GetStack() != "") != want.stack {
			t.Errorf("%s: got %v", jobType, failure)
		}
	}
}

func TestACancelledJobStops(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	started, causes := make(chan struct{}), make(chan error, 1)
	worker := newWorker(t, queue)
	relay.Handle(worker, "long", func(ctx context.Context, _ *relay.Job, _ any) error {
		close(started)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	work(t, worker)
	id := mustEnqueue(t, client, queue, "long", nil)
	take(t, started)
	stream, err := desk.admin.CancelJobs(t.Context(), &relayv1.CancelJobsRequest{
		Queue: queue, Selection: &relayv1.CancelJobsRequest_Ids{Ids: &relayv1.JobIds{Ids: []string{id}}},
	})
	for err == nil {
		_, err = stream.Recv()
	}
	if cause := take(t, causes); !errors.Is(cause, relay.ErrJobCancelled) {
		t.Errorf("stopped for %v", cause)
	}
	eventually(t, "the job's end", func() bool { return desk.stats(t, queue).GetInflight() == 0 })
}

func TestMaxRuntimeEndsAHandler(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	causes := make(chan error, 2)
	hung := make(chan struct{})
	worker := newWorker(t, queue)
	relay.Handle(worker, "polite", func(ctx context.Context, _ *relay.Job, _ any) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	relay.Handle(worker, "deaf", func(context.Context, *relay.Job, any) error { <-hung; return nil }, relay.HandlerMaxRuntime(50*time.Millisecond))
	drain := work(t, worker)
	once := relay.Retry(relay.RetryPolicy{MaxAttempts: 1})
	polite := mustEnqueue(t, client, queue, "polite", nil, once, relay.MaxRuntime(50*time.Millisecond))
	deaf := mustEnqueue(t, client, queue, "deaf", nil, once)
	if cause := take(t, causes); !errors.Is(cause, relay.ErrMaxRuntime) {
		t.Errorf("stopped for %v", cause)
	}
	for _, id := range []string{polite, deaf} {
		if got := desk.failure(t, queue, id).GetError().GetType(); got != "MaxRuntimeExceeded" {
			t.Errorf("failed with %s", got)
		}
	}
	close(hung)
	drain()
}

func TestHeartbeatsKeepALongJob(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	finish, reported := make(chan struct{}), make(chan error, 1)
	worker := newWorker(t, queue, relay.Lease(time.Second))
	relay.Handle(worker, "long", func(ctx context.Context, job *relay.Job, _ any) error {
		reported <- job.Progress(0.5, "half")
		<-finish
		return ctx.Err()
	})
	work(t, worker)
	id := mustEnqueue(t, client, queue, "long", nil)
	if err := take(t, reported); err != nil {
		t.Fatal(err)
	}
	var first time.Time
	eventually(t, "three leases and the progress", func() bool {
		job, err := desk.admin.GetJob(t.Context(), &relayv1.GetJobRequest{Queue: queue, JobId: id})
		if err != nil {
			t.Fatal(err)
		}
		deadline := job.GetSummary().GetStateTime().AsTime()
		if first.IsZero() {
			first = deadline
		}
		return deadline.Sub(first) > 2*time.Second && job.GetSummary().GetProgress() == 0.5
	})
	close(finish)
	eventually(t, "the ack", func() bool { return desk.stats(t, queue).GetCounters().GetAcked() == 1 })
	if expired := desk.stats(t, queue).GetCounters().GetExpired(); expired != 0 {
		t.Errorf("%d leases ran out", expired)
	}
}

func TestADrainGivesBackWhatDoesNotEnd(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	started, causes := make(chan struct{}), make(chan error, 1)
	worker := newWorker(t, queue, relay.Grace(0))
	relay.Handle(worker, "long", func(ctx context.Context, _ *relay.Job, _ any) error {
		close(started)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	drain := work(t, worker)
	id := mustEnqueue(t, client, queue, "long", nil)
	take(t, started)
	drain()
	if cause := take(t, causes); !errors.Is(cause, relay.ErrShutdown) {
		t.Errorf("stopped for %v", cause)
	}
	job, err := desk.admin.GetJob(t.Context(), &relayv1.GetJobRequest{Queue: queue, JobId: id})
	if err != nil || job.GetSummary().GetState() != relayv1.JobState_JOB_STATE_DELAYED || job.GetSummary().GetAttempt() != 0 {
		t.Errorf("the job is %v, %v", job.GetSummary(), err)
	}
}

func TestManyJobsEachOnceThroughASmallWindow(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	const jobs, slots = 2000, 8
	specs := make([]relay.JobSpec, jobs)
	for i := range specs {
		specs[i] = relay.NewJob("count", i)
	}
	if _, err := client.EnqueueBatch(t.Context(), queue, specs); err != nil {
		t.Fatal(err)
	}
	var running, most atomic.Int64
	var runs [jobs]atomic.Int64
	worker := newWorker(t, queue, relay.Concurrency(slots))
	relay.Handle(worker, "count", func(_ context.Context, _ *relay.Job, number int) error {
		now := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
		}
		runs[number].Add(1)
		return nil
	})
	work(t, worker)
	eventually(t, "all acks", func() bool { return desk.stats(t, queue).GetCounters().GetAcked() == jobs })
	for number := range runs {
		if ran := runs[number].Load(); ran != 1 {
			t.Fatalf("job %d ran %d times", number, ran)
		}
	}
	if most.Load() > slots {
		t.Errorf("%d handlers at once", most.Load())
	}
}
