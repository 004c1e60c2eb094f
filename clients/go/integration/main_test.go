// Package integration runs the SDK, the examples and the README against a real relay-server.
package integration

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
	"github.com/relay-broker/relay/clients/go/internal/relaytest"
	"github.com/relay-broker/relay/clients/go/relay"
)

// Long, because the machine may be busy; a test that passes never waits for it.
const within = 30 * time.Second

var server *relaytest.Server

func TestMain(m *testing.M) {
	slog.SetLogLoggerLevel(slog.LevelError)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if server, err = relaytest.Start("--keep-alive-s", "0.5"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Stop()
	return m.Run()
}

// noLeaks fails the test when goroutines that it started are left. Call it first: cleanups run in reverse order.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func newQueue() string { return "go-" + relay.NewID() }

func newClient(t *testing.T, options ...relay.ClientOption) *relay.Client {
	t.Helper()
	client, err := relay.New(t.Context(), server.Target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newWorker(t *testing.T, queue string, options ...relay.WorkerOption) *relay.Worker {
	t.Helper()
	worker, err := relay.NewWorker(server.Target, append([]relay.WorkerOption{relay.Queue(queue, 1), relay.Grace(time.Second)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return worker
}

// work runs the worker in the background; the function it gives drains it and waits.
func work(t *testing.T, worker *relay.Worker) (drain func()) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	drained := false
	drain = func() {
		stop()
		if drained {
			return
		}
		drained = true
		if err := <-ended; err != nil {
			t.Errorf("the worker gave up: %v", err)
		}
	}
	t.Cleanup(drain)
	return drain
}

// take waits for a value.
func take[T any](t *testing.T, values <-chan T) T {
	t.Helper()
	select {
	case value := <-values:
		return value
	case <-time.After(within):
		t.Fatal("nothing came in time")
		panic("unreachable")
	}
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(within)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s did not come true in time", what)
		}
	}
}

func mustEnqueue(t *testing.T, client *relay.Client, queue, jobType string, payload any, options ...relay.JobOption) string {
	t.Helper()
	job, err := client.Enqueue(t.Context(), queue, jobType, payload, options...)
	if err != nil {
		t.Fatal(err)
	}
	return job.ID
}

type desk struct {
	admin relayv1.AdminServiceClient
	dead  relayv1.DeadLetterServiceClient
}

// newDesk gives an operator's stubs.
func newDesk(t *testing.T) desk {
	t.Helper()
	conn, err := grpc.NewClient(server.Target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return desk{relayv1.NewAdminServiceClient(conn), relayv1.NewDeadLetterServiceClient(conn)}
}

func (d desk) stats(t *testing.T, queue string) *relayv1.QueueStats {
	t.Helper()
	answer, err := d.admin.Stats(t.Context(), &relayv1.StatsRequest{Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetQueues()[0]
}

// failure waits for a dead letter and gives its last failure.
func (d desk) failure(t *testing.T, queue, id string) *relayv1.AttemptFailure {
	t.Helper()
	var job *relayv1.GetJobResponse
	eventually(t, "the dead letter", func() bool {
		var err error
		job, err = d.admin.GetJob(t.Context(), &relayv1.GetJobRequest{Queue: queue, JobId: id})
		return err == nil && job.GetSummary().GetState() == relayv1.JobState_JOB_STATE_DEAD
	})
	failures := job.GetFailures()
	return failures[len(failures)-1]
}
