package relay

// A handler's view of its job: its data, a logger and progress.

import (
	"fmt"
	"log/slog"
	"time"
)

// Job is one attempt of one job, as its handler sees it.
type Job struct {
	ID    string
	Queue string
	Type  string
	// Attempt is the number of this attempt, from 1, of at most MaxAttempts.
	Attempt     int
	MaxAttempts int
	// Epoch strictly rises with every claim of the job: write it beside side effects in another store to fence off a late run.
	Epoch          int64
	IdempotencyKey string
	Headers        map[string]string
	Payload        []byte
	// ContentType of the payload; empty means application/json.
	ContentType string
	EnqueuedAt  time.Time

	logger *slog.Logger
	report func(fraction float64, note string)
}

// Logger knows the job's id, queue, type and attempt.
func (j *Job) Logger() *slog.Logger {
	return j.logger.With("job_id", j.ID, "queue", j.Queue, "job_type", j.Type, "attempt", j.Attempt)
}

// Progress reports how far the job is: 0 to 1, and a note of up to 200 bytes. It never blocks; it shows in a second or two.
func (j *Job) Progress(fraction float64, note string) error {
	if !(fraction >= 0 && fraction <= 1) {
		return invalid("progress", fmt.Sprintf("%v is not between 0 and 1", fraction))
	}
	j.report(fraction, cutEnd(note, noteBytesMax))
	return nil
}

func newJob(held *heldJob, logger *slog.Logger, report func(float64, string)) *Job {
	job := held.claimed.GetJob()
	return &Job{
		ID: held.id, Queue: held.queue(), Type: job.GetType(),
		Attempt: int(held.claimed.GetAttempt()), MaxAttempts: int(held.claimed.GetMaxAttempts()), Epoch: held.claimed.GetEpoch(),
		IdempotencyKey: job.GetIdempotencyKey(), Headers: job.GetHeaders(),
		Payload: job.GetPayload(), ContentType: job.GetContentType(), EnqueuedAt: job.GetEnqueueTime().AsTime(),
		logger: logger, report: report,
	}
}
