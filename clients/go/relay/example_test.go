package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/relay-broker/relay/clients/go/relay"
)

// target is the server of these examples, such as "relay-1:50051,relay-2:50051" in a program of yours.
var target = "localhost:50051"

type Welcome struct {
	To string `json:"to"`
}

// A producer and a worker. Both would be programs of their own, which make ctx with signal.NotifyContext.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	client, err := relay.New(ctx, target)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Enqueue(ctx, "emails", "welcome", Welcome{To: "a@example.com"}); err != nil {
		log.Fatal(err)
	}

	worker, err := relay.NewWorker(target, relay.Queue("emails", 1))
	if err != nil {
		log.Fatal(err)
	}
	relay.Handle(worker, "welcome", func(_ context.Context, job *relay.Job, mail Welcome) error {
		fmt.Println("attempt", job.Attempt, "to welcome", mail.To)
		stop()
		return nil
	})
	if err := worker.Run(ctx); err != nil { // until ctx ends; then it drains
		log.Fatal(err)
	}
	// Output: attempt 1 to welcome a@example.com
}

// A second job with the same idempotency key is the first one.
func ExampleClient_Enqueue() {
	ctx := context.Background()
	client, err := relay.New(ctx, target)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	for range 2 {
		job, err := client.Enqueue(ctx, "invoices", "send", map[string]int{"order": 17},
			relay.Delay(5*time.Minute), relay.IdempotencyKey("order-17"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("deduplicated:", job.Deduplicated)
	}
	// Output:
	// deduplicated: false
	// deduplicated: true
}

// Each job of a batch has its own result.
func ExampleClient_EnqueueBatch() {
	ctx := context.Background()
	client, err := relay.New(ctx, target)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	results, err := client.EnqueueBatch(ctx, "thumbnails", []relay.JobSpec{
		relay.NewJob("resize", json.RawMessage(`{"width": 320}`)),
		relay.NewJob("resize", json.RawMessage(`{"width": 640}`), relay.Priority(5)),
		relay.NewJob("resize", json.RawMessage(`{"width": 960}`), relay.Priority(50)),
	})
	if err != nil {
		log.Fatal(err) // a call failed as a whole
	}
	for _, result := range results {
		if result.Err != nil {
			fmt.Println("refused:", result.Err)
		} else {
			fmt.Println("accepted")
		}
	}
	// Output:
	// accepted
	// accepted
	// refused: relay: INVALID_FIELD: job.priority: 50 is not -9 to 9
}

// Reasons are compared with errors.Is; what the server says of them is in the Error.
func ExampleError() {
	ctx := context.Background()
	client, err := relay.New(ctx, target)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	_, err = client.Enqueue(ctx, "no such name", "send", nil)
	var failure *relay.Error
	if errors.Is(err, relay.ErrInvalidField) && errors.As(err, &failure) {
		fmt.Println(failure.Violations[0].Field)
	}
	// Output: queue
}

// What a handler returns decides what becomes of its job.
func ExampleHandle() {
	worker, err := relay.NewWorker(target, relay.Queue("payments", 1), relay.Concurrency(32))
	if err != nil {
		log.Fatal(err)
	}
	type Payment struct{ Account, Cents int }
	errBusy := errors.New("the bank is busy")
	charge := func(_ context.Context, payment Payment) error { return nil }

	relay.Handle(worker, "charge", func(ctx context.Context, job *relay.Job, payment Payment) error {
		if payment.Cents <= 0 {
			return relay.Reject("nothing to charge") // a dead letter now
		}
		err := charge(ctx, payment) // ends early when ctx does: the job is then released
		if errors.Is(err, errBusy) {
			return relay.Throttled(30 * time.Second) // later, and the attempt does not count
		}
		return err // nil: done; any other error: retried as the job's retry policy says
	}, relay.HandlerMaxRuntime(time.Minute))
}

// The context of a handler carries the traceparent of its job, and so do the jobs that it enqueues.
func ExampleWithTraceparent() {
	ctx := relay.WithTraceparent(context.Background(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	fmt.Println(relay.Traceparent(ctx))
	// Output: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
}
