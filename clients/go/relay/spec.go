package relay

// The description of a job that a producer gives, and its form on the wire.

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const octetStream = "application/octet-stream"

// JobSpec is one job to enqueue; [NewJob] makes it.
type JobSpec struct {
	wire *relayv1.JobSpec
	err  *Error
}

// JobOption says more about a job.
type JobOption func(*relayv1.JobSpec) *Error

// RetryPolicy says how failures of a job are retried; a zero field has the server's default.
type RetryPolicy struct {
	// MaxAttempts in all, the first included: 1 to 1000, default 20.
	MaxAttempts int
	// InitialBackoff is the upper bound of the delay after the first failure: up to 7 days, default 1 s.
	InitialBackoff time.Duration
	// MaxBackoff is the upper bound of any delay: up to 7 days, default 10 min.
	MaxBackoff time.Duration
	// Multiplier is the growth per attempt: 1 to 100, default 2.
	Multiplier float64
}

// NewJob describes a job for [Client.EnqueueBatch].
//
// A payload of type []byte or json.RawMessage is sent as it is, []byte as application/octet-stream unless [ContentType]
// says more. Every other payload becomes JSON by encoding/json; nil is an empty payload.
func NewJob(jobType string, payload any, options ...JobOption) JobSpec {
	spec := JobSpec{wire: &relayv1.JobSpec{Type: jobType}}
	if !utf8.ValidString(jobType) {
		// protobuf would refuse it in words that name no field.
		spec.err = invalid("job.type", "is not UTF-8 text")
		return spec
	}
	if spec.err = encodePayload(spec.wire, payload); spec.err != nil {
		return spec
	}
	for _, option := range options {
		if spec.err = option(spec.wire); spec.err != nil {
			return spec
		}
	}
	if spec.wire.Id == "" {
		spec.wire.Id = NewID()
	}
	return spec
}

func encodePayload(wire *relayv1.JobSpec, payload any) *Error {
	switch payload := payload.(type) {
	case nil:
	case []byte:
		wire.Payload, wire.ContentType = payload, octetStream
	case json.RawMessage:
		wire.Payload = payload
	default:
		encoded, err := json.Marshal(payload)
		if err != nil {
			return invalid("job.payload", fmt.Sprintf("cannot be written as JSON: %v; send []byte with a ContentType instead", err))
		}
		wire.Payload = encoded
	}
	return nil
}

// ID names the job with a UUID of your own; the SDK mints a version 7 otherwise.
func ID(id string) JobOption {
	return func(wire *relayv1.JobSpec) *Error { return setText(&wire.Id, "job.id", id) }
}

// ContentType is the media type of the payload, at most 128 bytes.
func ContentType(media string) JobOption {
	return func(wire *relayv1.JobSpec) *Error { return setText(&wire.ContentType, "job.content_type", media) }
}

// Delay waits that long before the job may run, up to a year.
func Delay(delay time.Duration) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		if delay < 0 {
			return invalid("job.delay", fmt.Sprintf("%v is negative", delay))
		}
		wire.Schedule = &relayv1.JobSpec_Delay{Delay: durationpb.New(delay)}
		return nil
	}
}

// RunAt is when the job may start.
func RunAt(at time.Time) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		wire.Schedule = &relayv1.JobSpec_RunAt{RunAt: timestamppb.New(at)}
		return nil
	}
}

// Priority is -9 to 9, higher first; zero is normal.
func Priority(priority int) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		if priority < -priorityMax || priority > priorityMax {
			return invalid("job.priority", fmt.Sprintf("%d is not -%d to %d", priority, priorityMax, priorityMax))
		}
		wire.Priority = int32(priority)
		return nil
	}
}

// IdempotencyKey makes a second job with the same key in the same queue, within [IdempotencyWindow], the first one.
func IdempotencyKey(key string) JobOption {
	return func(wire *relayv1.JobSpec) *Error { return setText(&wire.IdempotencyKey, "job.idempotency_key", key) }
}

// IdempotencyWindow is how long the key is held: 1 s to 30 days, 24 h by default.
func IdempotencyWindow(window time.Duration) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		wire.IdempotencyWindow = durationpb.New(window)
		return nil
	}
}

// Header adds one header: up to 32, and 8 KiB in all.
func Header(name, value string) JobOption {
	return Headers(map[string]string{name: value})
}

// Headers adds headers: up to 32, and 8 KiB in all.
func Headers(headers map[string]string) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		for name, value := range headers {
			if !utf8.ValidString(name) || !utf8.ValidString(value) {
				return invalid("job.headers", fmt.Sprintf("%q is not UTF-8 text", name))
			}
		}
		if wire.Headers == nil {
			wire.Headers = make(map[string]string, len(headers))
		}
		maps.Copy(wire.Headers, headers)
		return nil
	}
}

// Retry is how failures are retried.
func Retry(policy RetryPolicy) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		if policy.MaxAttempts < 0 || policy.MaxAttempts > maxAttemptsMax {
			return invalid("job.retry.max_attempts", fmt.Sprintf("%d is not 1 to %d", policy.MaxAttempts, maxAttemptsMax))
		}
		wire.Retry = &relayv1.RetryPolicy{MaxAttempts: int32(policy.MaxAttempts), Multiplier: policy.Multiplier}
		if policy.InitialBackoff != 0 {
			wire.Retry.InitialBackoff = durationpb.New(policy.InitialBackoff)
		}
		if policy.MaxBackoff != 0 {
			wire.Retry.MaxBackoff = durationpb.New(policy.MaxBackoff)
		}
		return nil
	}
}

// MaxRuntime is the longest time one attempt may run: up to 7 days; zero means no limit.
func MaxRuntime(limit time.Duration) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		wire.MaxRuntime = durationpb.New(limit)
		return nil
	}
}

// ExpiresAt makes a job that still waits then a dead letter.
func ExpiresAt(at time.Time) JobOption {
	return func(wire *relayv1.JobSpec) *Error {
		wire.ExpiresAt = timestamppb.New(at)
		return nil
	}
}

func setText(field *string, name, value string) *Error {
	if !utf8.ValidString(value) {
		return invalid(name, "is not UTF-8 text")
	}
	*field = value
	return nil
}

// trace adds the context's traceparent, unless the job has one of its own or its headers are full: it must not be refused for what
// was added to it. The spec stays as it was: it may be used again.
func trace(ctx context.Context, wire *relayv1.JobSpec) *relayv1.JobSpec {
	parent := Traceparent(ctx)
	if _, has := wire.Headers[traceparentHeader]; parent == "" || has {
		return wire
	}
	size := len(traceparentHeader) + len(parent)
	for name, value := range wire.Headers {
		size += len(name) + len(value)
	}
	if len(wire.Headers) >= headersMax || size > headersBytesMax {
		return wire
	}
	own := proto.CloneOf(wire)
	if own.Headers == nil {
		own.Headers = map[string]string{}
	}
	own.Headers[traceparentHeader] = parent
	return own
}
