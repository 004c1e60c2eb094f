package relay

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// beats is a server that hears heartbeats.
type beats struct {
	fake
	heard chan []string
}

func (b *beats) Extend(_ context.Context, request *relayv1.ExtendRequest) (*relayv1.ExtendResponse, error) {
	var ids []string
	for _, lease := range request.GetLeases() {
		ids = append(ids, lease.GetJobIds()...)
	}
	b.heard <- ids
	return &relayv1.ExtendResponse{}, nil
}

func TestOfAGroupOnlyTheJobWhoseLeaseIsOverIsLost(t *testing.T) {
	server := &beats{heard: make(chan []string, 10)}
	stubs := connectTo(t, []relayv1.QueueServiceServer{server}).stubs
	var lost []string
	k := newLeaseKeeper(stubs, &window{}, slog.Default(), 30*time.Second, func(job *heldJob, _ relayv1.LeaseOutcome) { lost = append(lost, job.id) })
	began := time.Now()
	fresh := k.add(&relayv1.Jobs{Queue: "q", LeaseToken: []byte("t"), Jobs: []*relayv1.ClaimedJob{
		{Job: &relayv1.Job{Id: "short"}}, {Job: &relayv1.Job{Id: "long"}},
	}}, began)
	group := fresh[0].group
	// As after an Extend that the short one's max_runtime capped.
	fresh[0].deadline, fresh[1].deadline = began.Add(time.Second), began.Add(20*time.Second)
	group.deadline, group.extendAt = fresh[0].deadline, began.Add(time.Second)

	next := k.runOnce(t.Context(), began.Add(time.Second))
	k.calls.Wait()
	if !slices.Equal(lost, []string{"short"}) {
		t.Errorf("lost %v", lost)
	}
	if ids := <-server.heard; !slices.Equal(ids, []string{"long"}) {
		t.Errorf("extended %v", ids)
	}
	if next < 100*time.Millisecond {
		t.Errorf("it wants to look again after %v, and so until the next answer", next)
	}
}

// refusing is a server that refuses every heartbeat at once.
type refusing struct {
	fake
	asked atomic.Int64
}

func (r *refusing) Extend(context.Context, *relayv1.ExtendRequest) (*relayv1.ExtendResponse, error) {
	r.asked.Add(1)
	return nil, status.Error(codes.Unavailable, "not now")
}

func TestAWindowThatNoServerTakesIsRestatedAfterAPause(t *testing.T) {
	server := &refusing{}
	w := &window{}
	w.opened("session", 1)
	quiet := slog.New(slog.DiscardHandler)
	k := newLeaseKeeper(connectTo(t, []relayv1.QueueServiceServer{server}).stubs, w, quiet, 30*time.Second, nil)
	ctx, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer stop()
	k.restateWindow()
	k.run(ctx)
	if asked := server.asked.Load(); asked < 2 || asked > 5 {
		t.Errorf("the window was sent %d times in 1.5 s", asked)
	}
}
