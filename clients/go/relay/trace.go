package relay

// W3C trace context: carries a traceparent from a producer's context to the handler's.

import (
	"context"
	"regexp"
)

const traceparentHeader = "traceparent"

var traceparentPattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)

type traceparentKey struct{}

// WithTraceparent returns a context whose enqueues carry this W3C traceparent as a header, unless they have one of their own.
// Text that is no traceparent is left out. The context of a handler has the one of its job.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if !traceparentPattern.MatchString(traceparent) {
		return ctx
	}
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// Traceparent gives the traceparent of a context; empty when there is none.
func Traceparent(ctx context.Context) string {
	value, _ := ctx.Value(traceparentKey{}).(string)
	return value
}
