// Command demo enqueues and works against a running server, such as that of `make demo`, until it has done its jobs.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/relay-broker/relay/clients/go/relay"
)

type greeting struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
}

func main() {
	server := flag.String("server", "localhost:50051", "host:port of the server")
	queue := flag.String("queue", "go-demo", "queue to use")
	jobs := flag.Int("jobs", 100, "how many jobs to enqueue and run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, stop, *server, *queue, *jobs); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, stop func(), server, queue string, jobs int) error {
	client, err := relay.New(ctx, server)
	if err != nil {
		return err
	}
	defer client.Close()
	worker, err := relay.NewWorker(server, relay.Queue(queue, 1), relay.Concurrency(16))
	if err != nil {
		return err
	}
	var done atomic.Int64
	relay.Handle(worker, "greet", func(_ context.Context, job *relay.Job, g greeting) error {
		if g.Number%10 == 3 && job.Attempt == 1 {
			return relay.RetryLater(100 * time.Millisecond) // as if something it needs were away
		}
		if done.Add(1) == int64(jobs) {
			stop()
		}
		return nil
	})
	specs := make([]relay.JobSpec, jobs)
	for i := range specs {
		specs[i] = relay.NewJob("greet", greeting{Number: i, Name: fmt.Sprint("guest ", i)})
	}
	results, err := client.EnqueueBatch(ctx, queue, specs)
	if err != nil {
		return err
	}
	fmt.Println(len(results), "jobs enqueued")
	err = worker.Run(ctx)
	fmt.Println(done.Load(), "jobs done")
	return err
}
