package relay

// The typed errors: the only place that turns a gRPC status or an ErrorReason into a Go error.

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

const (
	errorDomain  = "relay"
	reasonPrefix = "ERROR_REASON_"
)

// kind is what errors.Is compares: a reason of the contract, or what the SDK itself found.
type kind struct{ text string }

func (k *kind) Error() string { return k.text }

// What went wrong, for errors.Is. An [*Error] matches the one of its reason; ErrUnavailable is matched by
// ErrStoreUnavailable and ErrDraining as well.
var (
	// ErrInvalidField: a field is missing, malformed or out of range; Error.Violations names each one.
	ErrInvalidField error = &kind{"relay: invalid field"}
	// ErrQueueNotFound: no queue of this name has ever been seen.
	ErrQueueNotFound error = &kind{"relay: queue not found"}
	// ErrJobNotFound: the queue holds no job with this id; it never existed, or it is finished.
	ErrJobNotFound error = &kind{"relay: job not found"}
	// ErrIdempotencyMismatch: the key is held by a job with another type, payload or content type; Error.Metadata["job_id"] names it.
	ErrIdempotencyMismatch error = &kind{"relay: idempotency mismatch"}
	// ErrQueueFull: the queue holds as many jobs as its max_jobs setting allows.
	ErrQueueFull error = &kind{"relay: queue full"}
	// ErrTooLarge: one payload, or one request, is over its size limit in bytes.
	ErrTooLarge error = &kind{"relay: too large"}
	// ErrQuotaExceeded: the call would make a new queue, and the caller, or the store, has as many as it may; waiting does not help.
	ErrQuotaExceeded error = &kind{"relay: quota exceeded"}
	// ErrOverloaded: the server is at its limit; come back after Error.RetryAfter.
	ErrOverloaded error = &kind{"relay: overloaded"}
	// ErrUnavailable: no server answered in time. Repeat a call that may have been applied with the same ids.
	ErrUnavailable error = &kind{"relay: unavailable"}
	// ErrStoreUnavailable: Redis is down, loading, read-only or cannot write its log.
	ErrStoreUnavailable error = &kind{"relay: store unavailable"}
	// ErrDraining: the server is shutting down.
	ErrDraining error = &kind{"relay: draining"}
	// ErrStoreOutOfMemory: Redis has no memory left for new jobs; finishing jobs still works.
	ErrStoreOutOfMemory error = &kind{"relay: store out of memory"}
	// ErrWrongState: the job is not in a state that allows the call.
	ErrWrongState error = &kind{"relay: wrong state"}
	// ErrUnauthenticated: no credentials, or credentials that are not valid.
	ErrUnauthenticated error = &kind{"relay: unauthenticated"}
	// ErrPermissionDenied: the credentials are valid and do not allow this call on this queue.
	ErrPermissionDenied error = &kind{"relay: permission denied"}
	// ErrInternal: a defect in the server; Error.Metadata["request_id"] finds it in the server's log.
	ErrInternal error = &kind{"relay: internal"}
	// ErrDeadlineExceeded: no answer in time. Whether the call was applied is not known; repeating it with the same job id is safe.
	ErrDeadlineExceeded error = &kind{"relay: deadline exceeded"}
	// ErrClosed: the client was closed.
	ErrClosed error = &kind{"relay: client closed"}

	// ErrLeaseLost is the cause (context.Cause) of a handler's context whose lease expired or is somebody else's: drop the work.
	ErrLeaseLost error = &kind{"relay: lease lost"}
	// ErrJobGone is the cause of a handler's context whose job no longer exists.
	ErrJobGone error = &kind{"relay: job gone"}
	// ErrJobCancelled is the cause of a handler's context whose job was cancelled by an operator.
	ErrJobCancelled error = &kind{"relay: job cancelled"}
	// ErrMaxRuntime is the cause of a handler's context that ran longer than it may.
	ErrMaxRuntime error = &kind{"relay: max runtime exceeded"}
	// ErrShutdown is the cause of a handler's context that was still running when the worker's grace was over.
	ErrShutdown error = &kind{"relay: worker shutting down"}
)

type reasonKind struct {
	kind error
	code codes.Code
}

// One sentinel and one status code for each reason of the contract; a test compares this with the enum.
var byReason = map[string]reasonKind{
	"INVALID_FIELD":        {ErrInvalidField, codes.InvalidArgument},
	"QUEUE_NOT_FOUND":      {ErrQueueNotFound, codes.NotFound},
	"JOB_NOT_FOUND":        {ErrJobNotFound, codes.NotFound},
	"IDEMPOTENCY_MISMATCH": {ErrIdempotencyMismatch, codes.AlreadyExists},
	"QUEUE_FULL":           {ErrQueueFull, codes.ResourceExhausted},
	"TOO_LARGE":            {ErrTooLarge, codes.ResourceExhausted},
	"QUOTA_EXCEEDED":       {ErrQuotaExceeded, codes.ResourceExhausted},
	"OVERLOADED":           {ErrOverloaded, codes.ResourceExhausted},
	"STORE_UNAVAILABLE":    {ErrStoreUnavailable, codes.Unavailable},
	"STORE_OUT_OF_MEMORY":  {ErrStoreOutOfMemory, codes.ResourceExhausted},
	"WRONG_STATE":          {ErrWrongState, codes.FailedPrecondition},
	"UNAUTHENTICATED":      {ErrUnauthenticated, codes.Unauthenticated},
	"PERMISSION_DENIED":    {ErrPermissionDenied, codes.PermissionDenied},
	"DRAINING":             {ErrDraining, codes.Unavailable},
	"INTERNAL":             {ErrInternal, codes.Internal},
}

// For statuses that carry no reason: made by gRPC itself or by a proxy on the way.
var byCode = map[codes.Code]error{
	codes.Unavailable: ErrUnavailable,
	// A server that is stopping cancels calls that reach it late. A call that its own caller gave up is told apart before.
	codes.Canceled:         ErrUnavailable,
	codes.DeadlineExceeded: ErrDeadlineExceeded,
	codes.Unauthenticated:  ErrUnauthenticated,
	codes.PermissionDenied: ErrPermissionDenied,
}

// Violation is one field that was refused: its path in the request, and what is wrong with it.
type Violation struct {
	Field       string
	Description string
}

// Error is a call, or one job of a batch, that was refused. errors.Is tells its kind.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the name of the ErrorReason without its prefix ("QUEUE_FULL"); empty when the server gave none.
	Reason string
	// Message is what the server said, for people.
	Message string
	// Metadata is what the server added to the reason.
	Metadata map[string]string
	// RetryAfter is the time after which the server asks to be called again; zero when it did not say.
	RetryAfter time.Duration
	// Violations are the refused fields of an ErrInvalidField.
	Violations []Violation

	kind  error
	cause error
}

func (e *Error) Error() string {
	label := e.Reason
	if label == "" {
		label = e.Code.String()
	}
	return "relay: " + label + ": " + e.Message
}

// Is says whether target is this error's sentinel, or context.DeadlineExceeded when there was no answer in time: the
// server, which knows the deadline too, may end the call a moment before the caller's own clock does.
func (e *Error) Is(target error) bool {
	if e.kind == nil {
		return false
	}
	if target == context.DeadlineExceeded {
		return e.kind == ErrDeadlineExceeded
	}
	return e.kind == target || target == ErrUnavailable && (e.kind == ErrStoreUnavailable || e.kind == ErrDraining)
}

// Unwrap gives the end of the caller's own context, when that was why.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus makes status.Code(err) work.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// Kind is the sentinel that errors.Is finds, the most special one; nil for a failure that has none.
func (e *Error) Kind() error { return e.kind }

func (e *Error) clone() *Error {
	own := *e
	return &own
}

// fromRPC gives the typed error for what a call of generated stubs returned.
func fromRPC(err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	given, _ := status.FromError(err)
	result := &Error{Code: given.Code(), Message: given.Message()}
	for _, detail := range given.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				result.Reason, result.Metadata = detail.GetReason(), detail.GetMetadata()
			}
		case *errdetails.RetryInfo:
			result.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				result.Violations = append(result.Violations, Violation{violation.GetField(), violation.GetDescription()})
			}
		}
	}
	if known, ok := byReason[result.Reason]; ok {
		result.kind = known.kind
	} else if result.Code == codes.ResourceExhausted && strings.Contains(result.Message, "message larger than max") {
		// gRPC's own size limits answer before any of our code runs, hence with no reason.
		result.kind = ErrTooLarge
	} else {
		result.kind = byCode[result.Code]
	}
	return result
}

// fromReason gives the typed error for the ErrorReason of one job in a batch.
func fromReason(reason relayv1.ErrorReason, message string, metadata map[string]string) *Error {
	name := strings.TrimPrefix(reason.String(), reasonPrefix)
	known, ok := byReason[name]
	if !ok {
		known.code = codes.Unknown
	}
	return &Error{Code: known.code, Reason: name, Message: message, Metadata: metadata, kind: known.kind}
}

// fromContext gives the typed error for a context that ended before there was an answer.
func fromContext(ctx context.Context, message string) *Error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrClosed) {
		return closedError("the client was closed during the call")
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Code: codes.DeadlineExceeded, Message: message, kind: ErrDeadlineExceeded, cause: ctx.Err()}
	}
	return &Error{Code: codes.Canceled, Message: message, cause: ctx.Err()}
}

func closedError(message string) *Error {
	return &Error{Code: codes.Canceled, Message: message, kind: ErrClosed}
}

// invalid is a refusal of the SDK itself, before anything is sent.
func invalid(field, description string) *Error {
	return &Error{
		Code: codes.InvalidArgument, Reason: "INVALID_FIELD", Message: field + ": " + description,
		Violations: []Violation{{field, description}}, kind: ErrInvalidField,
	}
}
