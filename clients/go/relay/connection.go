package relay

// How a server is reached: gRPC options and credentials, and the turn from a dead target to the next.

import (
	"context"
	"crypto/tls"
	_ "embed"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// ServiceConfig is the retry policy as gRPC writes it, for clients of generated stubs alone. This SDK takes only its load
// balancing and repeats calls itself, because a channel cannot turn to another target of a list, does not know
// RetryInfo, and stops after five attempts whatever time is left.
//
//go:embed service_config.json
var ServiceConfig string

const mib = 1 << 20

// ConnectionOption says how to reach a server. It fits [New] and [NewWorker] alike.
type ConnectionOption func(*connection) error

func (o ConnectionOption) applyClient(c *clientConfig) error { return o(&c.connection) }
func (o ConnectionOption) applyWorker(w *workerConfig) error { return o(&w.connection) }

// WithToken sends a bearer token with every call. It needs TLS, unless every target is on this machine.
func WithToken(token string) ConnectionOption {
	return func(c *connection) error {
		ok := token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
		if !ok {
			return invalid("token", "must be one or more printable ASCII characters without spaces")
		}
		c.token = token
		return nil
	}
}

// WithTLS encrypts, and checks the server as config says; nil means the system's authorities.
func WithTLS(config *tls.Config) ConnectionOption {
	return func(c *connection) error {
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		c.tls = config
		return nil
	}
}

// WithLogger takes the logger of the client or worker; the default is slog.Default().
func WithLogger(logger *slog.Logger) ConnectionOption {
	return func(c *connection) error {
		c.logger = logger
		return nil
	}
}

// WithDialOptions adds options of gRPC itself, such as a stats handler or interceptors. They come after the SDK's own.
func WithDialOptions(options ...grpc.DialOption) ConnectionOption {
	return func(c *connection) error {
		c.extra = append(c.extra, options...)
		return nil
	}
}

// connection is everything needed to open channels.
type connection struct {
	targets []string
	token   string
	tls     *tls.Config
	logger  *slog.Logger
	extra   []grpc.DialOption
}

// finish checks what only shows when all options are known, and puts the targets in the order to try them.
func (c *connection) finish(target string) error {
	targets, err := parseTargets(target)
	if err != nil {
		return err
	}
	if c.token != "" && c.tls == nil && !c.isLocal(targets) {
		return invalid("token", "would be sent in the clear to another machine; use WithTLS")
	}
	// Shuffled, so that clients spread over the servers of one list.
	rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	c.targets = targets
	if c.logger == nil {
		c.logger = slog.Default()
	}
	return nil
}

func (c *connection) isLocal(targets []string) bool {
	return !slices.ContainsFunc(targets, func(target string) bool { return !isLocal(target) })
}

func (c *connection) dialOptions() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if c.tls != nil {
		transport = credentials.NewTLS(c.tls)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(clientVersion),
		grpc.WithDefaultServiceConfig(ServiceConfig),
		grpc.WithDisableServiceConfig(),
		// The SDK repeats calls itself; both layers together would multiply attempts.
		grpc.WithDisableRetry(),
		// The server lets clients ping every 5 s; gRPC's own floor for clients is 10 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// By default a failed connect is tried again only after 1 s to 2 min, and calls fail meanwhile. A black hole must
		// leave time for the next target.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16*mib), grpc.MaxCallSendMsgSize(messageBytesMax)),
	}
	if c.token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{c.token, c.tls != nil}))
	}
	if c.isLocal(c.targets) {
		// An http_proxy in the environment is never meant for this machine.
		options = append(options, grpc.WithNoProxy())
	}
	return append(options, c.extra...)
}

// bearer puts the token into the metadata of every call.
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.secure }

// stub is what is open to one target.
type stub struct {
	target string
	conn   *grpc.ClientConn
	queue  relayv1.QueueServiceClient
}

// rotation holds the targets of one client with what is open to each. All calls use the current target until one of them
// reports that it failed; then the next is current.
type rotation struct {
	connection *connection

	mu     sync.Mutex
	at     int
	opened map[string]*stub
	closed bool
}

func newRotation(c *connection) *rotation {
	return &rotation{connection: c, opened: map[string]*stub{}}
}

// current gives the target in use, opened on first use; ErrClosed once closed.
func (r *rotation) current() (*stub, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, closedError("this client is closed; make a new one")
	}
	target := r.connection.targets[r.at]
	if open, ok := r.opened[target]; ok {
		return open, nil
	}
	conn, err := grpc.NewClient(target, r.connection.dialOptions()...)
	if err != nil {
		return nil, invalid("target", err.Error())
	}
	open := &stub{target, conn, relayv1.NewQueueServiceClient(conn)}
	r.opened[target] = open
	return open, nil
}

// moveOn turns to the next target, unless another call already did.
func (r *rotation) moveOn(from *stub) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if from != nil && r.connection.targets[r.at] == from.target {
		r.at = (r.at + 1) % len(r.connection.targets)
	}
}

// mayMoveOn is true for a failure that another server may not have.
func mayMoveOn(failure *Error) bool {
	switch failure.Code {
	// Unimplemented is what gRPC makes of the 404 of a proxy without servers.
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Canceled, codes.Unimplemented:
		return true
	}
	return false
}

// close ends all connections; calls still open on them fail.
func (r *rotation) close() {
	r.mu.Lock()
	opened := r.opened
	r.opened, r.closed = map[string]*stub{}, true
	r.mu.Unlock()
	for _, open := range opened {
		_ = open.conn.Close() // says only that it was closed before
	}
}
