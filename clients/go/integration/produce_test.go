package integration

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
	"github.com/relay-broker/relay/clients/go/relay"
)

func TestEveryOptionReachesTheServer(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	id := relay.NewID()
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	job, err := client.Enqueue(t.Context(), queue, "send", map[string]string{"to": "zoë"},
		relay.ID(id), relay.Delay(time.Minute), relay.Priority(-4), relay.IdempotencyKey("k"), relay.IdempotencyWindow(time.Hour),
		relay.Header("tenant", "ü"), relay.MaxRuntime(time.Second), relay.ExpiresAt(expires),
		relay.Retry(relay.RetryPolicy{MaxAttempts: 3, InitialBackoff: time.Second, MaxBackoff: time.Minute, Multiplier: 3}))
	if err != nil || job.ID != id || job.Deduplicated {
		t.Fatalf("got %+v, %v", job, err)
	}
	answer, err := desk.admin.GetJob(t.Context(), &relayv1.GetJobRequest{Queue: queue, JobId: id})
	if err != nil {
		t.Fatal(err)
	}
	stored := answer.GetJob()
	if string(stored.GetPayload()) != `{"to":"zoë"}` || stored.GetHeaders()["tenant"] != "ü" || stored.GetPriority() != -4 ||
		stored.GetIdempotencyKey() != "k" || stored.GetMaxRuntime().AsDuration() != time.Second ||
		!stored.GetExpiresAt().AsTime().Equal(expires) || stored.GetRetry().GetMaxAttempts() != 3 ||
		stored.GetRetry().GetMultiplier() != 3 || stored.GetRetry().GetMaxBackoff().AsDuration() != time.Minute ||
		answer.GetSummary().GetState() != relayv1.JobState_JOB_STATE_DELAYED {
		t.Errorf("stored %v in %v", stored, answer.GetSummary())
	}
}

func TestIdempotencyKey(t *testing.T) {
	noLeaks(t)
	client, queue := newClient(t), newQueue()
	first := mustEnqueue(t, client, queue, "send", 1, relay.IdempotencyKey("k"))
	again, err := client.Enqueue(t.Context(), queue, "send", 1, relay.IdempotencyKey("k"))
	if err != nil || again != (relay.Enqueued{ID: first, Deduplicated: true}) {
		t.Errorf("the second got %+v, %v", again, err)
	}
	_, err = client.Enqueue(t.Context(), queue, "send", 2, relay.IdempotencyKey("k"))
	var failure *relay.Error
	if !errors.Is(err, relay.ErrIdempotencyMismatch) || !errors.As(err, &failure) || failure.Metadata["job_id"] != first {
		t.Errorf("another payload got %#v", err)
	}
}

func TestAnInvalidFieldIsNamed(t *testing.T) {
	noLeaks(t)
	client := newClient(t)
	_, err := client.Enqueue(t.Context(), "no queue", "send", nil)
	var failure *relay.Error
	if !errors.Is(err, relay.ErrInvalidField) || !errors.As(err, &failure) || failure.Code != codes.InvalidArgument ||
		len(failure.Violations) != 1 || failure.Violations[0].Field != "queue" {
		t.Errorf("got %#v", err)
	}
}

func TestABadJobOfABatchCostsTheOthersNothing(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	jobs := make([]relay.JobSpec, 1201)
	for i := range jobs {
		jobs[i] = relay.NewJob("send", i)
	}
	jobs[7] = relay.NewJob(strings.Repeat("x", 129), nil)
	jobs[700] = relay.NewJob("send", func() {})
	jobs[1100] = relay.NewJob("send", make([]byte, 2<<20))
	results, err := client.EnqueueBatch(t.Context(), queue, jobs)
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		want := map[int]error{7: relay.ErrInvalidField, 700: relay.ErrInvalidField, 1100: relay.ErrTooLarge}[i]
		if want == nil && result.Err != nil || want != nil && !errors.Is(result.Err, want) {
			t.Errorf("job %d: %v, want %v", i, result.Err, want)
		}
	}
	if ready := desk.stats(t, queue).GetReady(); ready != 1198 {
		t.Errorf("%d jobs are ready", ready)
	}
}

func TestConcurrentCallsShareRPCsAndEachGetsItsAnswer(t *testing.T) {
	noLeaks(t)
	client, desk, queue := newClient(t), newDesk(t), newQueue()
	var calls sync.WaitGroup
	var ids sync.Map
	for range 300 {
		calls.Go(func() {
			job, err := client.Enqueue(t.Context(), queue, "send", nil)
			if err != nil {
				t.Error(err)
			}
			ids.Store(job.ID, true)
		})
	}
	calls.Wait()
	count := 0
	ids.Range(func(any, any) bool { count++; return true })
	if ready := desk.stats(t, queue).GetReady(); count != 300 || ready != 300 {
		t.Errorf("%d ids, %d jobs ready", count, ready)
	}
}
