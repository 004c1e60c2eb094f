package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

func TestIDsRiseAlsoWhenTheClockStepsBack(t *testing.T) {
	var m mint
	now := time.Now()
	last := ""
	for i := range 10_000 {
		id := m.next(now.Add(-time.Duration(i%3) * time.Second))
		if id <= last || len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
	m.high, m.low = highEnd-1, lowEnd-1
	if id := m.next(now); id <= last {
		t.Errorf("%s after %s, when the bits of a millisecond are used up", id, last)
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string][]string{
		"localhost":                 {"dns:///localhost:50051"},
		"a:1, b:2,a:1":              {"dns:///a:1", "dns:///b:2"},
		"dns:///relay.example:7":    {"dns:///relay.example:7"},
		"[::1]:5":                   {"dns:///[::1]:5"},
		"[::1]":                     {"dns:///[::1]:50051"},
		"unix:/run/relay.sock":      {"unix:/run/relay.sock"},
		"":                          nil,
		"a:1,":                      nil,
		":5":                        nil,
		"a:0":                       nil,
		"a:x":                       nil,
		"http://a:1":                nil,
		"::1":                       nil,
		"unix:":                     nil,
		"a b:1":                     nil,
		"dns:///a:65536,localhost:": nil,
	} {
		got, err := parseTargets(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestTheServiceConfigIsThatOfEverySDK(t *testing.T) {
	published, err := os.ReadFile("../../python/relay_client/service_config.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(published) != ServiceConfig {
		t.Error("relay/service_config.json is not the one of clients/python/relay_client: copy it")
	}
	if !strings.Contains(ServiceConfig, `"initialBackoff": "0.1s"`) || !strings.Contains(ServiceConfig, `"maxBackoff": "2s"`) {
		t.Error("retry.go has other numbers than the service config")
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	_, farToken := New(t.Context(), "far.example:1", WithToken("x"))
	_, badToken := New(t.Context(), "localhost", WithToken("x y"))
	_, longTimeout := New(t.Context(), "localhost", WithTimeout(timeoutEnd))
	_, noQueue := NewWorker("localhost")
	_, lease := NewWorker("localhost", Queue("q", 1), Lease(time.Millisecond))
	_, weight := NewWorker("localhost", Queue("q", 0))
	_, slots := NewWorker("localhost", Queue("q", 1), Concurrency(0))
	for i, err := range []error{farToken, badToken, longTimeout, noQueue, lease, weight, slots} {
		if !errors.Is(err, ErrInvalidField) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestEveryReasonHasItsOwnError(t *testing.T) {
	seen := map[error]bool{}
	for value, name := range relayv1.ErrorReason_name {
		reason := strings.TrimPrefix(name, reasonPrefix)
		if value == 0 {
			continue
		}
		known, ok := byReason[reason]
		if !ok || seen[known.kind] {
			t.Errorf("%s has no error of its own", reason)
		}
		seen[known.kind] = true
		if err := fromReason(relayv1.ErrorReason(value), "", nil); !errors.Is(err, known.kind) || err.Reason != reason || err.Code != known.code {
			t.Errorf("%s became %#v", reason, err)
		}
	}
	if len(byReason) != len(seen) {
		t.Error("the table has reasons that the contract does not know")
	}
	if err := fromReason(99, "x", nil); err.Kind() != nil || err.Reason != "99" {
		t.Errorf("a later reason became %#v", err)
	}
	if !errors.Is(&Error{kind: ErrDraining}, ErrUnavailable) || errors.Is(&Error{kind: ErrUnavailable}, ErrDraining) {
		t.Error("ErrUnavailable is the general case of ErrDraining")
	}
}

func TestADeadlineThatTheServerNoticedFirstIsOneAllTheSame(t *testing.T) {
	err := error(fromRPC(status.Error(codes.DeadlineExceeded, "stream terminated by RST_STREAM with error code: CANCEL")))
	if !errors.Is(err, ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOutcomes(t *testing.T) {
	wrapped := fmt.Errorf("busy: %w", RetryLater(time.Minute))
	for name, one := range map[string]struct {
		err  error
		stop stopReason
		act  action
		kind relayv1.NackKind
	}{
		"done":             {nil, stopNo, actAck, 0},
		"done though told": {nil, stopShutdown, actAck, 0},
		"lost":             {nil, stopLost, actDrop, 0},
		"cancelled":        {context.Canceled, stopCancelled, actNack, relayv1.NackKind_NACK_KIND_RELEASE},
		"shutdown":         {context.Canceled, stopShutdown, actNack, relayv1.NackKind_NACK_KIND_RELEASE},
		"wish at shutdown": {wrapped, stopShutdown, actNack, relayv1.NackKind_NACK_KIND_RETRY},
		"failed":           {errors.New("x"), stopNo, actNack, relayv1.NackKind_NACK_KIND_RETRY},
		"rejected":         {Reject("x"), stopNo, actNack, relayv1.NackKind_NACK_KIND_DEAD},
		"throttled":        {Throttled(time.Second), stopNo, actNack, relayv1.NackKind_NACK_KIND_THROTTLED},
		"undecodable":      {&undecodablePayloadError{"x"}, stopNo, actNack, relayv1.NackKind_NACK_KIND_DEAD},
		"unknown type":     {&unknownJobTypeError{"x"}, stopNo, actNack, relayv1.NackKind_NACK_KIND_RETRY},
		"over its time":    {&maxRuntimeError{time.Second}, stopMaxRuntime, actNack, relayv1.NackKind_NACK_KIND_RETRY},
	} {
		if got := outcomeOf(one.err, one.stop); got.action != one.act || got.kind != one.kind {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := outcomeOf(wrapped, stopNo); *got.after != time.Minute || !strings.HasPrefix(got.err.GetMessage(), "busy: ") {
		t.Errorf("a wrapped wish: %+v", got)
	}
}

func TestAnErrorWhoseMethodsPanicEndsNoProcess(t *testing.T) {
	// The mistake every Go programmer makes once: a nil pointer in an error, whose Unwrap reads a field.
	var typedNil *os.PathError
	for _, err := range []error{typedNil, fmt.Errorf("a: %w", typedNil)} {
		if got := outcomeOf(err, stopNo); got.action != actNack || got.kind != relayv1.NackKind_NACK_KIND_RETRY || got.err.GetType() == "" {
			t.Errorf("%+v", got)
		}
	}
}

func TestAJobIsToldToStopOnceForAReason(t *testing.T) {
	e := &executor{busy: map[*heldJob]struct{}{}}
	job := &heldJob{}
	told := []bool{
		e.interrupt(job, stopCancelled, ErrJobCancelled), e.interrupt(job, stopCancelled, ErrJobCancelled),
		e.interrupt(job, stopLost, ErrLeaseLost), e.interrupt(job, stopCancelled, ErrJobCancelled),
	}
	if !slices.Equal(told, []bool{true, false, true, false}) {
		t.Errorf("told %v: every heartbeat says again that a job is cancelled", told)
	}
}

type rude struct{}

func (rude) Error() string { panic("no text") }

func TestFailuresKeepToTheLimits(t *testing.T) {
	long := strings.Repeat("ä\xff", 10_000)
	for _, err := range []error{errors.New(long), &panicError{long, long}, rude{}} {
		got := failureOf(err)
		if len(got.GetMessage()) > errorMessageBytesMax || len(got.GetMessage())+len(got.GetStack()) > errorBytesMax || got.GetMessage() == "" ||
			!utf8.ValidString(got.GetMessage()) || !utf8.ValidString(got.GetStack()) {
			t.Errorf("%T: message of %d and stack of %d bytes", err, len(got.GetMessage()), len(got.GetStack()))
		}
	}
	if got := failureOf(fmt.Errorf("a: %w", rude{})).GetType(); got != "relay.rude" {
		t.Errorf("type %s", got)
	}
}

func TestDecoding(t *testing.T) {
	type letter struct{ To string }
	for _, one := range []struct {
		media, payload string
		ok             bool
	}{
		{"", `{"To":"a"}`, true},
		{"application/json; charset=utf-8", `{"To":"a","new":1}`, true},
		{"application/problem+json", `{}`, true},
		{"", ``, true},
		{"", `{`, false},
		{"", `{"To":1}`, false},
		{"text/plain", `{}`, false},
		{"application/octet-stream", `{}`, false},
	} {
		_, err := decode[letter](&Job{ContentType: one.media, Payload: []byte(one.payload)})
		if (err == nil) != one.ok {
			t.Errorf("%q as %q: %v", one.payload, one.media, err)
		}
	}
	if raw, err := decode[[]byte](&Job{ContentType: "image/png", Payload: []byte{0xff}}); err != nil || len(raw) != 1 {
		t.Errorf("bytes: %v, %v", raw, err)
	}
	if text, err := decode[string](&Job{ContentType: "text/plain", Payload: []byte("ä")}); err != nil || text != "ä" {
		t.Errorf("text: %q, %v", text, err)
	}
}

func TestHandleRefusesMistakes(t *testing.T) {
	worker, err := NewWorker("localhost", Queue("q", 1))
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context, *Job, []byte) error { return nil }
	Handle(worker, "once", nothing)
	for _, jobType := range []string{"once", "", strings.Repeat("x", 129)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", jobType)
				}
			}()
			Handle(worker, jobType, nothing)
		}()
	}
}

func TestTheWindowIsRestatedRightly(t *testing.T) {
	w := &window{limit: 4}
	if w.restatement() != nil {
		t.Error("a report without a session")
	}
	w.newStream()
	w.opened("s", 7)
	w.took(3, 3)
	jobs := []*heldJob{{busy: false}, {busy: true}}
	report := w.settleBegins(jobs)
	if report.GetReceived() != 3 || report.GetInFlight() != 2 || report.GetStream() != 7 || w.restatement() != nil || w.differs(9) {
		t.Errorf("while a settle is on its way: %v", report)
	}
	w.settleFailed(jobs)
	if got := w.restatement(); got.GetInFlight() != 3 || got.GetSeq() <= report.GetSeq() {
		t.Errorf("after it failed: %v", got)
	}
	w.settleBegins(jobs)
	w.settleEnded()
	if !w.slotFree(jobs[1]) || !w.differs(2) || w.differs(1) {
		t.Error("a handler that outlived its settle frees its slot when it ends")
	}
	w.newStream()
	w.opened("s", 8)
	w.close()
	if got := w.restatement(); got.GetInFlight() != 4 || got.GetReceived() != 0 || got.GetStream() != 8 {
		t.Errorf("closed: %v", got)
	}
}

func TestATraceparentIsNotAddedToHeadersThatAreFull(t *testing.T) {
	ctx := WithTraceparent(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	many := map[string]string{}
	for i := range 32 {
		many[strconv.Itoa(i)] = ""
	}
	long := map[string]string{"note": strings.Repeat("x", 8<<10-5)}
	for _, full := range []map[string]string{many, long} {
		job := NewJob("t", nil, Headers(full))
		if _, added := trace(ctx, job.wire).GetHeaders()[traceparentHeader]; added {
			t.Errorf("the job would be refused for it: %d headers", len(full))
		}
	}
	if job := NewJob("t", nil); trace(ctx, job.wire).GetHeaders()[traceparentHeader] == "" {
		t.Error("not added where there is room")
	}
}
