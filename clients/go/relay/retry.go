package relay

// When a call is repeated and after what pause.

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	// Half of the 60 s for which a server recognises a repeated request: a later repeat could make a second job.
	timeoutEnd     = 30 * time.Second
	defaultTimeout = 20 * time.Second

	backoffFirst = 100 * time.Millisecond
	backoffMax   = 2 * time.Second
)

// call runs attempt until it answers, fails for good, or ctx ends. ctx has a deadline.
func (r *rotation) call(ctx context.Context, attempt func(context.Context, *stub) error) *Error {
	attempts := attempts{untried: len(r.connection.targets) - 1, bound: backoffFirst}
	for {
		at, err := r.current()
		if err != nil {
			return fromRPC(err)
		}
		err = attempt(ctx, at)
		if err == nil {
			return nil
		}
		failure := fromRPC(err)
		if ctx.Err() != nil {
			return attempts.ended(ctx)
		}
		if !failure.passes() {
			return failure
		}
		r.moveOn(at)
		pause := attempts.pauseAfter(failure)
		if ends, ok := ctx.Deadline(); ok && time.Until(ends) <= pause {
			return failure
		}
		if !wait(ctx, pause) {
			return attempts.ended(ctx)
		}
	}
}

// passes is true when the same call may succeed later or at another server; an overloaded one counts if it named a time.
func (e *Error) passes() bool {
	return errors.Is(e, ErrUnavailable) || errors.Is(e, ErrOverloaded) && e.RetryAfter > 0
}

// attempts is the course of one call.
type attempts struct {
	untried int
	bound   time.Duration
	last    *Error
}

// pauseAfter is the time to wait before the next attempt.
func (a *attempts) pauseAfter(failure *Error) time.Duration {
	a.last = failure
	if a.untried > 0 && failure.RetryAfter == 0 {
		a.untried--
		return 0
	}
	// Full jitter, added to the pause that the server asked for: its clients must not come back all at once.
	pause := failure.RetryAfter + rand.N(a.bound)
	a.bound = min(2*a.bound, backoffMax)
	return pause
}

// ended is the error of a call whose context has ended: that of an earlier attempt, if any, because it explains more.
func (a *attempts) ended(ctx context.Context) *Error {
	failure := fromContext(ctx, "no server answered in time; repeat the call with the same job id to find out whether it was applied")
	if a.last == nil || failure.Code != codes.DeadlineExceeded {
		return failure
	}
	last := a.last.clone()
	last.cause = failure.cause
	return last
}

// wait pauses; false when ctx ended first.
func wait(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
