package relay

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// fake is a server in this process; answer says what becomes of the jobs of a call.
type fake struct {
	relayv1.UnimplementedQueueServiceServer
	answer func(ctx context.Context, jobs []*relayv1.JobSpec) error

	mu    sync.Mutex
	calls [][]string // ids
	names []string   // request ids
}

func (f *fake) heard(ctx context.Context, name string, jobs []*relayv1.JobSpec) error {
	ids := make([]string, len(jobs))
	for i, job := range jobs {
		ids[i] = job.GetId()
	}
	f.mu.Lock()
	f.calls, f.names = append(f.calls, ids), append(f.names, name)
	f.mu.Unlock()
	return f.answer(ctx, jobs)
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

func (f *fake) Enqueue(ctx context.Context, request *relayv1.EnqueueRequest) (*relayv1.EnqueueResponse, error) {
	if err := f.heard(ctx, "", []*relayv1.JobSpec{request.GetJob()}); err != nil {
		return nil, err
	}
	return &relayv1.EnqueueResponse{JobId: request.GetJob().GetId()}, nil
}

func (f *fake) EnqueueBatch(ctx context.Context, request *relayv1.EnqueueBatchRequest) (*relayv1.EnqueueBatchResponse, error) {
	if err := f.heard(ctx, request.GetRequestId(), request.GetJobs()); err != nil {
		return nil, err
	}
	answer := &relayv1.EnqueueBatchResponse{}
	for _, job := range request.GetJobs() {
		answer.Results = append(answer.Results, &relayv1.EnqueueResult{JobId: job.GetId()})
	}
	return answer, nil
}

// connect gives a client of fakes, which stand behind 127.0.0.1:1, :2 and so on. A nil one refuses connections.
func connect(t *testing.T, fakes []*fake, options ...ClientOption) *Client {
	t.Helper()
	servers := make([]relayv1.QueueServiceServer, len(fakes))
	for i, one := range fakes {
		if one != nil {
			servers[i] = one
		}
	}
	return connectTo(t, servers, options...)
}

func connectTo(t *testing.T, servers []relayv1.QueueServiceServer, options ...ClientOption) *Client {
	t.Helper()
	listeners := map[string]*bufconn.Listener{}
	target := ""
	for i, one := range servers {
		address := net.JoinHostPort("127.0.0.1", string(rune('1'+i)))
		target += "," + address
		if one == nil {
			continue
		}
		listener := bufconn.Listen(1 << 20)
		listeners[address] = listener
		server := grpc.NewServer()
		relayv1.RegisterQueueServiceServer(server, one)
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		t.Cleanup(func() { server.Stop(); <-served })
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		if listener := listeners[address]; listener != nil {
			return listener.DialContext(ctx)
		}
		return nil, errors.New("refused")
	}
	client, err := New(t.Context(), target[1:], append(options, WithDialOptions(grpc.WithContextDialer(dial)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func accept(context.Context, []*relayv1.JobSpec) error { return nil }

func TestALostAnswerIsRepeatedWithTheSameIDs(t *testing.T) {
	tries := 0
	server := &fake{answer: func(context.Context, []*relayv1.JobSpec) error {
		if tries++; tries < 3 {
			return status.Error(codes.Unavailable, "cut")
		}
		return nil
	}}
	client := connect(t, []*fake{server})
	results, err := client.EnqueueBatch(t.Context(), "q", []JobSpec{NewJob("a", nil), NewJob("b", nil)})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	if len(server.calls) != 3 || !slices.Equal(server.calls[0], server.calls[2]) || server.names[0] == "" || server.names[0] != server.names[2] {
		t.Errorf("heard %v as %v", server.calls, server.names)
	}
}

func TestAnotherTargetIsTriedAtOnce(t *testing.T) {
	server := &fake{answer: accept}
	draining := &fake{answer: func(context.Context, []*relayv1.JobSpec) error { return status.Error(codes.Unavailable, "draining") }}
	client := connect(t, []*fake{nil, server, draining})
	for range 5 {
		if _, err := client.Enqueue(t.Context(), "q", "a", nil); err != nil {
			t.Fatal(err)
		}
	}
	if draining.count() > 1 || server.count() != 5 {
		t.Errorf("the draining server heard %d calls, the other %d", draining.count(), server.count())
	}
}

func TestRetryInfoIsHonouredAndCountsAgainstTheDeadline(t *testing.T) {
	refusal, _ := status.New(codes.Unavailable, "no store").WithDetails(
		&errdetails.ErrorInfo{Domain: "relay", Reason: "STORE_UNAVAILABLE"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
	server := &fake{answer: func(context.Context, []*relayv1.JobSpec) error { return refusal.Err() }}
	_, err := connect(t, []*fake{server}).Enqueue(t.Context(), "q", "a", nil)
	var failure *Error
	if !errors.Is(err, ErrStoreUnavailable) || !errors.As(err, &failure) || failure.RetryAfter != time.Hour || server.count() != 1 {
		t.Errorf("%v after %d calls", err, server.count())
	}
}

func TestWhatIsNotUnavailableIsNotRepeated(t *testing.T) {
	refusal, _ := status.New(codes.ResourceExhausted, "full").WithDetails(&errdetails.ErrorInfo{Domain: "relay", Reason: "QUEUE_FULL"})
	server := &fake{answer: func(context.Context, []*relayv1.JobSpec) error { return refusal.Err() }}
	_, err := connect(t, []*fake{server}).Enqueue(t.Context(), "q", "a", nil)
	if !errors.Is(err, ErrQueueFull) || status.Code(err) != codes.ResourceExhausted || server.count() != 1 {
		t.Errorf("%v after %d calls", err, server.count())
	}
}

// held is a server that says when a call came and answers when it is let.
func held() (server *fake, came chan struct{}, let chan struct{}) {
	came, let = make(chan struct{}, 100), make(chan struct{})
	return &fake{answer: func(ctx context.Context, _ []*relayv1.JobSpec) error {
		came <- struct{}{}
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, came, let
}

func TestCallsDuringACallShareTheNext(t *testing.T) {
	server, came, let := held()
	client := connect(t, []*fake{server})
	var calls sync.WaitGroup
	enqueue := func() {
		if _, err := client.Enqueue(t.Context(), "q", "a", nil); err != nil {
			t.Error(err)
		}
	}
	calls.Go(enqueue)
	<-came
	for range 20 {
		calls.Go(enqueue)
	}
	for {
		client.coalescer.mu.Lock()
		waiting := len(client.coalescer.lines["q"])
		client.coalescer.mu.Unlock()
		if waiting == 20 {
			break
		}
		runtime.Gosched()
	}
	close(let)
	calls.Wait()
	if len(server.calls) != 2 || len(server.calls[1]) != 20 {
		t.Errorf("heard calls %v", server.calls)
	}
}

func TestACallerThatGivesUpCostsTheOthersNothing(t *testing.T) {
	server, came, let := held()
	client := connect(t, []*fake{server})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := client.Enqueue(ctx, "q", "a", nil); first <- err }()
	<-came
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up got %v", err)
	}
	close(let)
	if _, err := client.Enqueue(t.Context(), "q", "a", nil); err != nil {
		t.Error(err)
	}
}

func TestADeadlineSaysWhyEarlierTriesFailed(t *testing.T) {
	server := &fake{answer: func(context.Context, []*relayv1.JobSpec) error { return status.Error(codes.Unavailable, "starting") }}
	_, err := connect(t, []*fake{server}, WithTimeout(300*time.Millisecond)).Enqueue(t.Context(), "q", "a", nil)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	silent, _, _ := held()
	_, err = connect(t, []*fake{silent}, WithTimeout(100*time.Millisecond)).Enqueue(t.Context(), "q", "a", nil)
	if !errors.Is(err, ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsCallsAndRefusesNewOnes(t *testing.T) {
	server, came, _ := held()
	client := connect(t, []*fake{server})
	ended := make(chan error, 2)
	go func() { _, err := client.Enqueue(t.Context(), "q", "a", nil); ended <- err }()
	go func() {
		_, err := client.EnqueueBatch(t.Context(), "r", []JobSpec{NewJob("a", nil)})
		ended <- err
	}()
	<-came
	<-came
	_ = client.Close()
	for range 2 {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("a call under way got %v", err)
		}
	}
	if _, err := client.Enqueue(t.Context(), "q", "a", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a later call got %v", err)
	}
}
