package relay

// The registry: which function runs which job type, and how its payload is decoded.

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"
)

// HandlerOption says more about a handler.
type HandlerOption func(*handler)

// HandlerMaxRuntime is the longest time one run may take; the shorter of this and the job's own counts.
func HandlerMaxRuntime(limit time.Duration) HandlerOption {
	return func(h *handler) { h.maxRuntime = limit }
}

type handler struct {
	run        func(ctx context.Context, job *Job) error
	maxRuntime time.Duration
}

// Handle registers the function that runs jobs of a type, before [Worker.Run].
//
// T is what the payload is decoded to: by encoding/json, except that []byte takes the payload as it is, and string a
// text/* payload as it is. A payload that cannot be decoded makes the job a dead letter.
//
// fn returns nil when the work is done. It stops when ctx ends (context.Cause says why: ErrLeaseLost, ErrJobCancelled,
// ErrMaxRuntime, ErrShutdown) and then returns an error, such as ctx.Err(): the job is released, without using up an
// attempt. Any other error, or a panic, is a failure, retried as the job's retry policy says; see [RetryLater],
// [Reject] and [Throttled].
//
// Handle panics when the type is empty, too long or registered already, or the worker runs: those are mistakes of the program.
func Handle[T any](w *Worker, jobType string, fn func(ctx context.Context, job *Job, payload T) error, options ...HandlerOption) {
	own := &handler{run: func(ctx context.Context, job *Job) error {
		payload, err := decode[T](job)
		if err != nil {
			return err
		}
		return fn(ctx, job, payload)
	}}
	for _, option := range options {
		option(own)
	}
	w.register(jobType, own)
}

func decode[T any](job *Job) (T, error) {
	var value T
	if raw, ok := any(&value).(*[]byte); ok {
		*raw = job.Payload
		return value, nil
	}
	media := job.ContentType
	if text, ok := any(&value).(*string); ok && strings.HasPrefix(media, "text/") {
		if !utf8.Valid(job.Payload) {
			return value, &undecodablePayloadError{"it is not UTF-8 text"}
		}
		*text = string(job.Payload)
		return value, nil
	}
	if !isJSON(media) {
		return value, &undecodablePayloadError{fmt.Sprintf("content type %q is not JSON; take the payload as []byte to decode it yourself", media)}
	}
	if len(job.Payload) == 0 {
		return value, nil
	}
	if err := unmarshal(job.Payload, &value); err != nil {
		return value, &undecodablePayloadError{err.Error()}
	}
	return value, nil
}

// unmarshal turns a panic of a type's own UnmarshalJSON into an error: what cannot be decoded now cannot be later.
func unmarshal(payload []byte, value any) (err error) {
	defer func() {
		if raised := recover(); raised != nil {
			err = fmt.Errorf("panic while decoding: %v", raised)
		}
	}()
	return json.Unmarshal(payload, value)
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

func (w *Worker) register(jobType string, own *handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(jobType) == 0 || len(jobType) > typeBytesMax || !utf8.ValidString(jobType):
		panic(fmt.Sprintf("relay.Handle: job type %q is not 1 to %d bytes of UTF-8", jobType, typeBytesMax))
	case w.handlers[jobType] != nil:
		panic(fmt.Sprintf("relay.Handle: job type %q already has a handler", jobType))
	case w.started:
		panic(fmt.Sprintf("relay.Handle: job type %q: register handlers before Run", jobType))
	}
	w.handlers[jobType] = own
}
