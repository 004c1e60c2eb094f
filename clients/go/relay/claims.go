package relay

// Owns the Claim stream: opens it, reads it, and opens it again whenever it ends.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const (
	// Until Started brings the server's own interval.
	keepAliveDefault = 15 * time.Second
	// Longest wait for Started on a connection that was accepted.
	startedWithin      = 10 * time.Second
	claimBackoffMin    = 100 * time.Millisecond
	claimBackoffMax    = 5 * time.Second
	lastReportWithin   = time.Second
	lastFramesWithin   = 100 * time.Millisecond
	failuresCountedMax = 10
)

var (
	errNoStarted = errors.New("no Started frame")
	errSilent    = errors.New("two keep-alives missed")
	errDrained   = errors.New("drained")
	errNoDrain   = &Error{Code: codes.Unavailable, Message: "the stream ended without Drain", kind: ErrUnavailable}
)

// claims is the stream and its reader.
type claims struct {
	stubs  *rotation
	window *window
	leases *leaseKeeper
	logger *slog.Logger
	config *workerConfig
	onJobs func([]*heldJob)

	connected   atomic.Bool
	failures    int
	everStarted bool

	mu          sync.Mutex
	keepAlive   time.Duration
	lastFrameAt time.Time
}

// run keeps a stream open until ctx ends. The error is why the worker cannot go on.
func (c *claims) run(ctx context.Context) error {
	c.frameAt(time.Now())
	for ctx.Err() == nil {
		pause, fatal := c.oneStream(ctx)
		if fatal != nil {
			return fatal
		}
		wait(ctx, pause)
	}
	return nil
}

func (c *claims) frameAt(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastFrameAt = now
}

// silence is the time since the last frame of any stream, and the most that is healthy.
func (c *claims) silence(now time.Time) (since, limit time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.lastFrameAt), 2 * c.keepAlive
}

// openStream is a stream under way.
type openStream struct {
	at     *stub
	cancel context.CancelCauseFunc
	// Ends the stream: no Started, silence, or the time of a drain.
	watchdog *time.Timer
	drainAt  time.Time
}

// oneStream is one stream from its request to its end. It gives the time to wait before the next one.
func (c *claims) oneStream(parent context.Context) (time.Duration, error) {
	at, err := c.stubs.current()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(parent)
	// Explicitly: the server would go on writing to a stream that nobody reads.
	defer cancel(nil)
	one := &openStream{at: at, cancel: cancel}
	one.watch(startedWithin, errNoStarted)
	defer func() { one.watchdog.Stop() }()
	err = c.read(ctx, one)
	c.connected.Store(false)
	if parent.Err() != nil {
		return 0, nil
	}
	if !one.drainAt.IsZero() {
		c.stubs.moveOn(at)
		c.failures = 0
		return time.Until(one.drainAt), nil
	}
	failure := errNoDrain
	if cause := context.Cause(ctx); cause != nil {
		failure = &Error{Code: codes.Unavailable, Message: cause.Error(), kind: ErrUnavailable}
	} else if !errors.Is(err, io.EOF) {
		failure = fromRPC(err)
	}
	if why := c.hopeless(failure); why != "" {
		return 0, fmt.Errorf("%s: %s: %w", at.target, why, failure)
	}
	c.logger.Warn("stream ended", "target", at.target, "error", failure)
	// Try another server, whatever ended the stream; with a single target this changes nothing.
	c.stubs.moveOn(at)
	return c.backoff(failure), nil
}

// read takes frames until the stream ends, and returns its error; io.EOF is the server's own end.
func (c *claims) read(ctx context.Context, one *openStream) error {
	frames, err := one.at.queue.Claim(ctx, c.request())
	if err != nil {
		return err
	}
	for {
		frame, err := frames.Recv()
		if err != nil {
			return err
		}
		c.take(frame, one)
	}
}

func (c *claims) request() *relayv1.ClaimRequest {
	config := c.config
	request := &relayv1.ClaimRequest{
		WorkerId:        config.workerID,
		MaxInFlight:     int32(config.concurrency),
		Lease:           durationpb.New(config.lease),
		DisconnectGrace: durationpb.New(config.lease / 2),
		InFlight:        int32(c.window.newStream()),
		SessionId:       c.window.sessionID(),
		ClientVersion:   clientVersion,
	}
	for _, one := range config.queues {
		request.Queues = append(request.Queues, &relayv1.QueueWeight{Queue: one.name, Weight: int32(one.weight)})
	}
	if request.SessionId != "" {
		request.Leases = c.leases.held()
	}
	return request
}

func (c *claims) take(frame *relayv1.ClaimResponse, one *openStream) {
	now := time.Now()
	c.frameAt(now)
	switch frame := frame.GetFrame().(type) {
	case *relayv1.ClaimResponse_Started:
		c.started(frame.Started, one)
	case *relayv1.ClaimResponse_Jobs:
		fresh := c.leases.add(frame.Jobs, now)
		c.window.took(len(frame.Jobs.GetJobs()), len(fresh))
		c.onJobs(fresh)
	case *relayv1.ClaimResponse_KeepAlive:
		if c.window.differs(frame.KeepAlive.GetUnsettled()) {
			c.leases.restateWindow()
		}
	case *relayv1.ClaimResponse_Cancel:
		c.leases.stop(frame.Cancel.GetJobs())
	case *relayv1.ClaimResponse_Drain:
		after := frame.Drain.GetReconnectAfter().AsDuration()
		c.logger.Info("stream drains", "target", one.at.target, "reconnect_after", after)
		one.drainAt = now.Add(after)
		one.watch(after, errDrained)
	default:
		// A frame of a later version; it still shows that the stream lives.
	}
	if one.drainAt.IsZero() {
		c.mu.Lock()
		limit := 2 * c.keepAlive
		c.mu.Unlock()
		one.watch(limit, errSilent)
	}
}

func (c *claims) started(started *relayv1.Started, one *openStream) {
	again := c.window.sessionID() != ""
	c.window.opened(started.GetSessionId(), started.GetStream())
	if every := started.GetKeepAlive().AsDuration(); every > 0 {
		c.mu.Lock()
		c.keepAlive = every
		c.mu.Unlock()
	}
	if every := started.GetExtendEvery().AsDuration(); every > 0 {
		c.leases.setExtendEvery(every)
	}
	c.everStarted = true
	c.failures = 0
	c.connected.Store(true)
	c.logger.Info("stream open", "target", one.at.target, "session", started.GetSessionId(), "server", started.GetServerVersion())
	if again {
		// Settles on their way during the reconnection named the old stream, and the server did not count them.
		c.leases.restateWindow()
	}
}

// watch puts off the time at which the stream is cut.
func (o *openStream) watch(within time.Duration, why error) {
	if o.watchdog != nil {
		o.watchdog.Stop()
	}
	o.watchdog = time.AfterFunc(within, func() { o.cancel(why) })
}

// hopeless is the reason why repeating cannot help; "" when it may.
func (c *claims) hopeless(failure *Error) string {
	if failure.Code == codes.InvalidArgument {
		return "the server refused the claim"
	}
	if c.everStarted {
		return "" // a new token may still arrive, and a proxy get its servers back
	}
	switch failure.Code {
	case codes.Unimplemented:
		return "this is not a Relay server, or a much older one"
	case codes.Unauthenticated:
		return "the server wants credentials, or others"
	case codes.PermissionDenied:
		return "these credentials may not claim from these queues"
	}
	return ""
}

// backoff is the time until the next try: jittered between a floor and a rising ceiling, added to the pause that the server asked for.
func (c *claims) backoff(failure *Error) time.Duration {
	ceiling := min(claimBackoffMax, claimBackoffMin<<(c.failures+1))
	c.failures = min(c.failures+1, failuresCountedMax)
	return failure.RetryAfter + claimBackoffMin + rand.N(ceiling-claimBackoffMin)
}

// lastReport closes the window, so that nothing more is sent, and gives what is on the wire time to arrive.
func (c *claims) lastReport(stubs *rotation) {
	c.window.close()
	report := c.window.restatement()
	if !c.connected.Load() || report == nil {
		return
	}
	at, err := stubs.current()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastReportWithin)
	defer cancel()
	// Without this report, jobs of frames that nobody reads come back when their leases end.
	if _, err = at.queue.Extend(ctx, &relayv1.ExtendRequest{Window: report}); err == nil {
		wait(ctx, lastFramesWithin)
	}
}
