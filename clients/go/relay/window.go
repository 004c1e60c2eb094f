package relay

// Counts what the worker holds, and states it to the server: the only source of WindowReports.

import (
	"sync"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// window is the session's window. A job counts from its receipt until its settle is sent and its handler has ended.
type window struct {
	limit int

	mu        sync.Mutex
	session   string
	stream    int32
	received  int64
	inFlight  int
	seq       int64
	inTransit int
	closed    bool
}

func (w *window) sessionID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

func (w *window) held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inFlight
}

// opened: the server named the session, which may be another than asked for, and the stream, whose receipts count.
func (w *window) opened(session string, stream int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session, w.stream = session, stream
}

// newStream: a stream is about to be asked for, and receipts count from zero again. Gives what is in flight.
func (w *window) newStream() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received = 0
	return w.inFlight
}

// took: jobs arrived on the stream; kept of them are now held.
func (w *window) took(count, kept int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received += int64(count)
	w.inFlight += kept
}

// settleBegins takes jobs that are about to be settled out, and gives the report to send along.
func (w *window) settleBegins(jobs []*heldJob) *relayv1.WindowReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, job := range jobs {
		job.sent = true
		if !job.busy {
			w.inFlight--
		}
	}
	w.inTransit++
	return w.report()
}

// settleEnded: the settle was answered.
func (w *window) settleEnded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inTransit--
}

// settleFailed: the settle was not answered and will be repeated; its jobs count again until then.
func (w *window) settleFailed(jobs []*heldJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, job := range jobs {
		job.sent = false
		if !job.busy {
			w.inFlight++
		}
	}
	w.inTransit--
}

// gone: no settle will be sent for these jobs (again). They no longer count once their handlers have ended.
func (w *window) gone(jobs []*heldJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, job := range jobs {
		job.sent = true
		if !job.busy {
			w.inFlight--
		}
	}
}

// slotFree: a handler that outlived its job's settle has ended. True when no settle will say so: restate the window.
func (w *window) slotFree(job *heldJob) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	job.busy = false
	if job.sent {
		w.inFlight--
	}
	return job.sent
}

// restatement is the window as it is now; nil while a settle is on its way, which states it itself.
func (w *window) restatement() *relayv1.WindowReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inTransit > 0 {
		// Overtaking a settle would name its jobs as in flight with a newer seq, and stall the stream.
		return nil
	}
	return w.report()
}

// differs says whether the server counts otherwise, as far as can be known now.
func (w *window) differs(unsettled int32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inTransit == 0 && !w.closed && int(unsettled) != w.inFlight
}

// close: from now on every report says that the window is full; no further jobs are wanted.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

func (w *window) report() *relayv1.WindowReport {
	if w.session == "" {
		return nil
	}
	w.seq++
	inFlight := w.inFlight
	if w.closed {
		inFlight = max(inFlight, w.limit)
	}
	return &relayv1.WindowReport{SessionId: w.session, Received: w.received, InFlight: int32(inFlight), Seq: w.seq, Stream: w.stream}
}
