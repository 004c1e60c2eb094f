// Command bench measures the SDK against a running server: enqueues jobs, then runs them in a worker that does nothing. It
// prints one line of JSON, in jobs a second.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relay-broker/relay/clients/go/relay"
)

type report struct {
	SDK         string  `json:"sdk"`
	Version     string  `json:"version"`
	Jobs        int     `json:"jobs"`
	Callers     int     `json:"callers"`
	Concurrency int     `json:"concurrency"`
	Enqueue     float64 `json:"enqueue_per_s"`
	Batch       float64 `json:"enqueue_batch_per_s"`
	Work        float64 `json:"work_per_s"`
}

func main() {
	server := flag.String("server", "localhost:50051", "host:port of the server")
	queue := flag.String("queue", "bench-go", "queue to use; it should be empty")
	jobs := flag.Int("jobs", 10_000, "jobs of each of the two ways to enqueue")
	callers := flag.Int("callers", 64, "goroutines that enqueue one job at a time")
	concurrency := flag.Int("concurrency", 256, "handlers at once")
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	result := report{SDK: "go", Version: relay.Version, Jobs: *jobs, Callers: *callers, Concurrency: *concurrency}
	if err := measure(context.Background(), *server, *queue, &result); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func measure(ctx context.Context, server, queue string, result *report) error {
	client, err := relay.New(ctx, server)
	if err != nil {
		return err
	}
	defer client.Close()
	payload := make([]byte, 100)
	// Connects, and creates the queue.
	if _, err := client.Enqueue(ctx, queue, "noop", payload); err != nil {
		return err
	}
	if result.Enqueue, err = oneByOne(ctx, client, queue, payload, result); err != nil {
		return err
	}
	specs := make([]relay.JobSpec, result.Jobs)
	for i := range specs {
		specs[i] = relay.NewJob("noop", payload)
	}
	began := time.Now()
	if _, err := client.EnqueueBatch(ctx, queue, specs); err != nil {
		return err
	}
	result.Batch = rate(result.Jobs, began)
	result.Work, err = work(ctx, server, queue, 2*result.Jobs+1, result.Concurrency)
	return err
}

func oneByOne(ctx context.Context, client *relay.Client, queue string, payload []byte, asked *report) (float64, error) {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var callers sync.WaitGroup
	began := time.Now()
	for range asked.Callers {
		callers.Go(func() {
			for next.Add(1) <= int64(asked.Jobs) {
				if _, err := client.Enqueue(ctx, queue, "noop", payload); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	callers.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return rate(asked.Jobs, began), nil
}

// work runs that many jobs; the time is that from the first handler to the last.
func work(ctx context.Context, server, queue string, jobs, concurrency int) (float64, error) {
	worker, err := relay.NewWorker(server, relay.Queue(queue, 1), relay.Concurrency(concurrency))
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var done atomic.Int64
	var began, ended time.Time
	var first sync.Once
	relay.Handle(worker, "noop", func(context.Context, *relay.Job, []byte) error {
		first.Do(func() { began = time.Now() })
		if done.Add(1) == int64(jobs) {
			ended = time.Now()
			stop()
		}
		return nil
	})
	if err := worker.Run(ctx); err != nil {
		return 0, err
	}
	return float64(jobs) / ended.Sub(began).Seconds(), nil
}

func rate(jobs int, began time.Time) float64 { return float64(jobs) / time.Since(began).Seconds() }
