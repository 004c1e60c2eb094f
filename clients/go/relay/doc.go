// Package relay is the Go SDK of Relay, a distributed job queue: [Client] enqueues jobs, [Worker] runs them.
//
//	client, err := relay.New(ctx, "localhost:50051")
//	job, err := client.Enqueue(ctx, "emails", "welcome", Welcome{To: "a@example.com"}, relay.Delay(5*time.Minute))
//
//	worker, err := relay.NewWorker("localhost:50051", relay.Queue("emails", 1))
//	relay.Handle(worker, "welcome", func(ctx context.Context, job *relay.Job, mail Welcome) error { ... })
//	err = worker.Run(ctx) // until ctx ends; then it drains
//
// Failures are a [*Error]; test for a reason with errors.Is(err, relay.ErrQueueFull).
package relay

// Version of this SDK, as servers see it.
const Version = "0.1.0"

const clientVersion = "relay-go/" + Version
