package relay

// Decides, as a pure function, the outcome of a job from its handler's result: Ack, Nack or nothing.

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// The message of a failure is one sentence; the rest of the room is worth more to the stack.
const errorMessageBytesMax = 2 << 10

type verdict struct {
	kind   relayv1.NackKind
	after  *time.Duration
	reason string
}

func (v *verdict) Error() string { return v.reason }

// RetryLater is returned by a handler, wrapped or not, to try the job again after that time.
func RetryLater(after time.Duration) error {
	return &verdict{relayv1.NackKind_NACK_KIND_RETRY, bounded(after), "the handler asked for another attempt"}
}

// Reject is returned by a handler, wrapped or not: this job cannot succeed; make it a dead letter now.
func Reject(reason string) error {
	return &verdict{relayv1.NackKind_NACK_KIND_DEAD, nil, reason}
}

// Throttled is returned by a handler, wrapped or not: something the job needs is over its limit; later, without using up an attempt.
func Throttled(after time.Duration) error {
	return &verdict{relayv1.NackKind_NACK_KIND_THROTTLED, bounded(after), "throttled"}
}

// bounded keeps a time inside what the server takes; refusing a settle would only lose the job's lease.
func bounded(after time.Duration) *time.Duration {
	after = min(max(after, 0), delayMsMax*time.Millisecond)
	return &after
}

// Why a job must stop, if it must.
type stopReason int

const (
	stopNo stopReason = iota
	stopLost
	stopCancelled
	stopShutdown
	stopMaxRuntime
)

type action int

const (
	actAck action = iota
	actNack
	actDrop // the lease is gone: nothing is left to settle
)

type outcome struct {
	action action
	kind   relayv1.NackKind
	after  *time.Duration
	err    *relayv1.JobError
}

// word names the kind of a nack in logs: retry, dead, release or throttled.
func (o outcome) word() string {
	return strings.ToLower(strings.TrimPrefix(o.kind.String(), "NACK_KIND_"))
}

var release = outcome{action: actNack, kind: relayv1.NackKind_NACK_KIND_RELEASE}

// Errors of the worker itself, in place of what a handler returns.
type (
	unknownJobTypeError     struct{ jobType string }
	undecodablePayloadError struct{ reason string }
	panicError              struct {
		value any
		stack string
	}
	goexitError     struct{}
	maxRuntimeError struct{ limit time.Duration }
)

func (e *unknownJobTypeError) Error() string {
	return fmt.Sprintf("this worker has no handler for job type %q", e.jobType)
}
func (e *undecodablePayloadError) Error() string { return "the payload cannot be decoded: " + e.reason }
func (e *panicError) Error() string              { return fmt.Sprint(e.value) }
func (e *goexitError) Error() string             { return "the handler ended its goroutine (runtime.Goexit)" }
func (e *maxRuntimeError) Error() string {
	return fmt.Sprintf("the handler ran longer than its %v and was stopped", e.limit)
}

// outcomeOf is the outcome of a job whose handler returned err. Returning nil means done, also after the context has ended;
// a handler that stops early returns its context's error, and its job is released.
func outcomeOf(err error, stop stopReason) outcome {
	if stop == stopLost {
		return outcome{action: actDrop}
	}
	if err == nil {
		return outcome{action: actAck}
	}
	if wish, ok := find[*verdict](err); ok {
		return outcomeOfVerdict(err, wish)
	}
	if _, ok := find[*undecodablePayloadError](err); ok {
		return outcome{action: actNack, kind: relayv1.NackKind_NACK_KIND_DEAD, err: jobError("UndecodablePayload", textOf(err), "")}
	}
	if stop == stopCancelled || stop == stopShutdown {
		return release
	}
	return outcome{action: actNack, kind: relayv1.NackKind_NACK_KIND_RETRY, err: failureOf(err)}
}

// find is errors.AsType for what a handler returned: methods of the user's errors may panic, above all those of a nil
// pointer in an error, and nothing above recovers.
func find[E error](err error) (found E, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return errors.AsType[E](err)
}

func outcomeOfVerdict(err error, wish *verdict) outcome {
	result := outcome{action: actNack, kind: wish.kind, after: wish.after}
	switch wish.kind {
	case relayv1.NackKind_NACK_KIND_RETRY:
		result.err = jobError("RetryLater", textOf(err), "")
	case relayv1.NackKind_NACK_KIND_DEAD:
		result.err = jobError("Rejected", textOf(err), "")
	}
	return result
}

// failureOf is the error as data, within the limits of the contract, whatever its text holds.
func failureOf(err error) *relayv1.JobError {
	switch own := err.(type) {
	// A worker of another version may know the type, and a hung run may pass next time: both are retried.
	case *unknownJobTypeError:
		return jobError("UnknownJobType", own.Error(), "")
	case *maxRuntimeError:
		return jobError("MaxRuntimeExceeded", own.Error(), "")
	case *panicError:
		return jobError("panic", textOf(own), own.stack)
	case *goexitError:
		return jobError("Goexit", own.Error(), "")
	}
	return jobError(typeName(err), textOf(err), "")
}

func jobError(name, message, stack string) *relayv1.JobError {
	message = cutEnd(message, errorMessageBytesMax)
	return &relayv1.JobError{
		Type:    cutEnd(name, errorTypeBytesMax),
		Message: message,
		// Go prints the innermost frames first, so the end is the part to cut.
		Stack: cutEnd(stack, errorBytesMax-len(message)),
	}
}

// typeName is the type of the first error in the chain that has a name of its own.
func typeName(err error) string {
	for one := err; one != nil; one = errors.Unwrap(one) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", one), "*")
		switch name {
		case "errors.errorString", "fmt.wrapError", "fmt.wrapErrors", "errors.joinError":
			continue
		}
		return name
	}
	return "error"
}

// textOf reads an error's text; the user's Error method may panic.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "(the error's text could not be read)"
		}
	}()
	return err.Error()
}

// cutEnd keeps the beginning, as UTF-8 of at most bytesMax bytes.
func cutEnd(text string, bytesMax int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= bytesMax {
		return text
	}
	const mark = "…"
	end := bytesMax - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}
