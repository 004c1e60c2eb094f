package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/relay-broker/relay/clients/go/relay"
)

type handlerSpec struct {
	Do      string `json:"do"`
	MS      int64  `json:"ms"`
	AfterMS int64  `json:"after_ms"`
	Message string `json:"message"`
	Decode  string `json:"decode"`
}

type numbered struct {
	N float64 `json:"n"`
}

func (d *driver) work(asked command) {
	var options []relay.WorkerOption
	for name, weight := range asked.Queues {
		options = append(options, relay.Queue(name, weight))
	}
	if asked.WorkerID != "" {
		options = append(options, relay.WorkerID(asked.WorkerID))
	}
	if asked.Concurrency != 0 {
		options = append(options, relay.Concurrency(asked.Concurrency))
	}
	if asked.LeaseMS != 0 {
		options = append(options, relay.Lease(milliseconds(asked.LeaseMS)))
	}
	if asked.GraceMS != nil {
		options = append(options, relay.Grace(milliseconds(*asked.GraceMS)))
	}
	if asked.Token != "" {
		options = append(options, relay.WithToken(asked.Token))
	}
	worker, err := relay.NewWorker(asked.Target, options...)
	if err != nil {
		d.fail(err)
		return
	}
	for jobType, spec := range asked.Handlers {
		if spec.Decode == "json" {
			relay.Handle(worker, jobType, func(ctx context.Context, job *relay.Job, _ numbered) error {
				return d.handle(ctx, job, nil, spec)
			})
		} else {
			relay.Handle(worker, jobType, func(ctx context.Context, job *relay.Job, payload []byte) error {
				sum := sha256.Sum256(payload)
				facts := map[string]any{"payload_bytes": len(payload), "payload_sha256": hex.EncodeToString(sum[:])}
				return d.handle(ctx, job, facts, spec)
			})
		}
	}
	d.mu.Lock()
	d.working = true
	d.mu.Unlock()
	d.emit(map[string]any{"event": "working"})
	go func() {
		text := ""
		if err := worker.Run(d.stopped); err != nil {
			text = err.Error()
		}
		d.emit(map[string]any{"event": "stopped", "error": text})
		close(d.finished)
	}()
}

func (d *driver) handle(ctx context.Context, job *relay.Job, facts map[string]any, spec handlerSpec) error {
	started := map[string]any{
		"event": "job_started", "job_id": job.ID, "queue": job.Queue, "type": job.Type, "attempt": job.Attempt, "epoch": job.Epoch,
		"headers": job.Headers,
	}
	if job.Headers == nil {
		started["headers"] = map[string]string{}
	}
	for name, value := range facts {
		started[name] = value
	}
	d.emit(started)
	defer d.emit(map[string]any{"event": "job_finished", "job_id": job.ID, "epoch": job.Epoch})
	switch spec.Do {
	case "ok":
		return nil
	case "fail":
		return errors.New(spec.Message)
	case "sleep", "finish":
		select {
		case <-time.After(milliseconds(spec.MS)):
			return nil
		case <-ctx.Done():
			d.emit(map[string]any{"event": "job_cancelled", "job_id": job.ID, "epoch": job.Epoch})
			if spec.Do == "finish" {
				return nil
			}
			return ctx.Err()
		}
	case "block":
		time.Sleep(milliseconds(spec.MS))
		return nil
	case "retry_later":
		return fmt.Errorf("%s: %w", spec.Message, relay.RetryLater(milliseconds(spec.AfterMS)))
	case "reject":
		return relay.Reject(spec.Message)
	case "throttled":
		return relay.Throttled(milliseconds(spec.AfterMS))
	}
	d.fail(errors.New("a handler that does " + spec.Do + " is not known"))
	return nil
}
