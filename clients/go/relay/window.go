package relay

// Counts the jobs that the worker holds, and is the only source of WindowReports.

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
	count     int
	seq       int64
	inTransit int
	closed    bool
}

func (w *window) sessionID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

func (w *window) inFlight() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// opened notes the session and the stream that Started named; the session may be another than the one asked for.
func (w *window) opened(session string, stream int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session, w.stream = session, stream
}

// newStream comes before a new stream: receipts count from zero again. It returns how many jobs are in flight.
func (w *window) newStream() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received = 0
	return w.count
}

// took counts jobs that arrived on the stream; fresh of them were not held already.
func (w *window) took(count, fresh int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.received += int64(count)
	w.count += fresh
}

// settleBegins takes out jobs that are about to be settled, and returns the report for that call.
func (w *window) settleBegins(jobs []*heldJob) *relayv1.WindowReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, job := range jobs {
		job.sent = true
		if !job.busy {
			w.count--
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
			w.count++
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
			w.count--
		}
	}
}

// slotFree: a handler that outlived its job's settle has ended. True when no later settle reports that.
func (w *window) slotFree(job *heldJob) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	job.busy = false
	if job.sent {
		w.count--
	}
	return job.sent
}

// restatement is a report of the window now; nil while a settle is on its way, because that carries a report.
func (w *window) restatement() *relayv1.WindowReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inTransit > 0 {
		// A report that overtook a settle would count its jobs as in flight, with a newer seq, and stall the stream.
		return nil
	}
	return w.report()
}

// differs is true when the server's count is wrong, and no settle on its way can explain that.
func (w *window) differs(unsettled int32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inTransit == 0 && !w.closed && int(unsettled) != w.count
}

// close makes every later report show a full window, so that no further job comes.
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
	inFlight := w.count
	if w.closed {
		inFlight = max(inFlight, w.limit)
	}
	return &relayv1.WindowReport{SessionId: w.session, Received: w.received, InFlight: int32(inFlight), Seq: w.seq, Stream: w.stream}
}
