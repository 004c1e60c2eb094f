package main

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/relay-broker/relay/clients/go/relay"
)

type jobSpec struct {
	Type           string            `json:"type"`
	Payload        []byte            `json:"payload"`
	ContentType    *string           `json:"content_type"`
	Headers        map[string]string `json:"headers"`
	Priority       *int              `json:"priority"`
	DelayMS        *int64            `json:"delay_ms"`
	IdempotencyKey *string           `json:"idempotency_key"`
	MaxRuntimeMS   *int64            `json:"max_runtime_ms"`
	Retry          *struct {
		MaxAttempts      int     `json:"max_attempts"`
		InitialBackoffMS int64   `json:"initial_backoff_ms"`
		MaxBackoffMS     int64   `json:"max_backoff_ms"`
		Multiplier       float64 `json:"multiplier"`
	} `json:"retry"`
}

func (j jobSpec) options() []relay.JobOption {
	var options []relay.JobOption
	if j.ContentType != nil {
		options = append(options, relay.ContentType(*j.ContentType))
	}
	if j.Headers != nil {
		options = append(options, relay.Headers(j.Headers))
	}
	if j.Priority != nil {
		options = append(options, relay.Priority(*j.Priority))
	}
	if j.DelayMS != nil {
		options = append(options, relay.Delay(milliseconds(*j.DelayMS)))
	}
	if j.IdempotencyKey != nil {
		options = append(options, relay.IdempotencyKey(*j.IdempotencyKey))
	}
	if j.MaxRuntimeMS != nil {
		options = append(options, relay.MaxRuntime(milliseconds(*j.MaxRuntimeMS)))
	}
	if j.Retry != nil {
		options = append(options, relay.Retry(relay.RetryPolicy{
			MaxAttempts: j.Retry.MaxAttempts, Multiplier: j.Retry.Multiplier,
			InitialBackoff: milliseconds(j.Retry.InitialBackoffMS), MaxBackoff: milliseconds(j.Retry.MaxBackoffMS),
		}))
	}
	return options
}

func (d *driver) produce(asked command) {
	var options []relay.ClientOption
	if asked.Token != "" {
		options = append(options, relay.WithToken(asked.Token))
	}
	if asked.DeadlineMS != 0 {
		options = append(options, relay.WithTimeout(milliseconds(asked.DeadlineMS)))
	}
	ctx := context.Background()
	client, err := relay.New(ctx, asked.Target, options...)
	if err != nil {
		d.fail(err)
		return
	}
	results := make([]any, len(asked.Jobs))
	enqueue := func(place int) {
		job := asked.Jobs[place]
		accepted, err := client.Enqueue(ctx, asked.Queue, job.Type, job.Payload, job.options()...)
		results[place] = result(accepted, err)
	}
	switch asked.Mode {
	case "together":
		var calls sync.WaitGroup
		for place := range asked.Jobs {
			calls.Go(func() { enqueue(place) })
		}
		calls.Wait()
	case "many":
		specs := make([]relay.JobSpec, len(asked.Jobs))
		for place, job := range asked.Jobs {
			specs[place] = relay.NewJob(job.Type, job.Payload, job.options()...)
		}
		answered, _ := client.EnqueueBatch(ctx, asked.Queue, specs) // every result carries its error
		for place, one := range answered {
			results[place] = result(one.Enqueued, one.Err)
		}
	default:
		for place := range asked.Jobs {
			enqueue(place)
		}
	}
	_ = client.Close()
	d.emit(map[string]any{"event": "produced", "id": asked.ID, "results": results})
}

func result(accepted relay.Enqueued, err error) map[string]any {
	if err == nil {
		return map[string]any{"job_id": accepted.ID, "deduplicated": accepted.Deduplicated}
	}
	described := map[string]any{"type": sentinelName(err), "reason": "", "code": "", "message": err.Error()}
	if own, ok := errors.AsType[*relay.Error](err); ok {
		described["reason"], described["code"] = own.Reason, codeName(own.Code)
	}
	return map[string]any{"error": described}
}

// The most special sentinel comes first where two match.
var sentinels = []struct {
	name string
	err  error
}{
	{"ErrStoreUnavailable", relay.ErrStoreUnavailable},
	{"ErrDraining", relay.ErrDraining},
	{"ErrInvalidField", relay.ErrInvalidField},
	{"ErrQueueNotFound", relay.ErrQueueNotFound},
	{"ErrJobNotFound", relay.ErrJobNotFound},
	{"ErrIdempotencyMismatch", relay.ErrIdempotencyMismatch},
	{"ErrQueueFull", relay.ErrQueueFull},
	{"ErrTooLarge", relay.ErrTooLarge},
	{"ErrQuotaExceeded", relay.ErrQuotaExceeded},
	{"ErrOverloaded", relay.ErrOverloaded},
	{"ErrUnavailable", relay.ErrUnavailable},
	{"ErrStoreOutOfMemory", relay.ErrStoreOutOfMemory},
	{"ErrWrongState", relay.ErrWrongState},
	{"ErrUnauthenticated", relay.ErrUnauthenticated},
	{"ErrPermissionDenied", relay.ErrPermissionDenied},
	{"ErrInternal", relay.ErrInternal},
	{"ErrDeadlineExceeded", relay.ErrDeadlineExceeded},
	{"ErrClosed", relay.ErrClosed},
}

func sentinelName(err error) string {
	for _, one := range sentinels {
		if errors.Is(err, one.err) {
			return one.name
		}
	}
	return ""
}

// The names of the statuses, as the gRPC specification writes them.
var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE",
	codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}

func codeName(code codes.Code) string { return codeNames[code] }
