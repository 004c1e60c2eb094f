package relay

// The options of a worker; every error names the option and the range.

import (
	"fmt"
	"time"
)

const (
	leaseMin = leaseMsMin * time.Millisecond
	leaseMax = leaseMsMax * time.Millisecond
	graceMax = 24 * time.Hour
)

// WorkerOption is an option of [NewWorker]: a [ConnectionOption] or one of those below.
type WorkerOption interface{ applyWorker(*workerConfig) error }

type workerOption func(*workerConfig) error

func (o workerOption) applyWorker(w *workerConfig) error { return o(w) }

type queueWeight struct {
	name   string
	weight int
}

type workerConfig struct {
	connection
	queues      []queueWeight
	concurrency int
	lease       time.Duration
	grace       time.Duration
	workerID    string
}

func defaultWorkerConfig() workerConfig {
	return workerConfig{concurrency: 16, lease: leaseMsDefault * time.Millisecond, grace: 20 * time.Second, workerID: defaultWorkerID()}
}

func (w *workerConfig) check() error {
	if len(w.queues) == 0 || len(w.queues) > queuesPerClaimMax {
		return invalid("queues", fmt.Sprintf("name 1 to %d with relay.Queue, not %d", queuesPerClaimMax, len(w.queues)))
	}
	return nil
}

// Queue adds a queue to claim from. Its weight, 1 to 100, is its share when several queues have jobs. A worker needs 1 to 32.
func Queue(name string, weight int) WorkerOption {
	return workerOption(func(w *workerConfig) error {
		if weight < 1 || weight > weightMax {
			return invalid("queues", fmt.Sprintf("the weight of %q is %d; it must be 1 to %d", name, weight, weightMax))
		}
		w.queues = append(w.queues, queueWeight{name, weight})
		return nil
	})
}

// Concurrency is how many handlers run at once, which is the window as well: 1 to 10 000, default 16.
func Concurrency(handlers int) WorkerOption {
	return workerOption(func(w *workerConfig) error {
		if handlers < 1 || handlers > inFlightMax {
			return invalid("concurrency", fmt.Sprintf("%d is not 1 to %d", handlers, inFlightMax))
		}
		w.concurrency = handlers
		return nil
	})
}

// Lease is how long a job stays with this worker without a heartbeat: 1 s to 1 h, default 30 s. It is extended every third.
func Lease(lease time.Duration) WorkerOption {
	return workerOption(func(w *workerConfig) error {
		if lease < leaseMin || lease > leaseMax {
			return invalid("lease", fmt.Sprintf("%v is not %v to %v", lease, leaseMin, leaseMax))
		}
		w.lease = lease
		return nil
	})
}

// Grace is how long running handlers may finish once draining began: 0 to 24 h, default 20 s.
func Grace(grace time.Duration) WorkerOption {
	return workerOption(func(w *workerConfig) error {
		if grace < 0 || grace > graceMax {
			return invalid("grace", fmt.Sprintf("%v is not 0 to %v", grace, graceMax))
		}
		w.grace = grace
		return nil
	})
}

// WorkerID names the worker for people: 1 to 128 bytes; the default is host and process.
func WorkerID(id string) WorkerOption {
	return workerOption(func(w *workerConfig) error {
		if len(id) == 0 || len(id) > workerIDBytesMax {
			return invalid("worker_id", fmt.Sprintf("%q is not 1 to %d bytes", id, workerIDBytesMax))
		}
		w.workerID = id
		return nil
	})
}
