// Command stub-worker runs jobs with the generated stubs alone, without the SDK: one at a time, with a heartbeat.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

func main() {
	server := flag.String("server", "localhost:50051", "host:port of the server")
	queue := flag.String("queue", "stubs", "queue to claim from")
	flag.Parse()
	conn, err := grpc.NewClient(*server, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	client := relayv1.NewQueueServiceClient(conn)
	for ; ; time.Sleep(time.Second) { // whatever ended the stream: claim again
		request := &relayv1.ClaimRequest{Queues: []*relayv1.QueueWeight{{Queue: *queue}}, WorkerId: "stub-worker", MaxInFlight: 1}
		frames, err := client.Claim(context.Background(), request)
		for err == nil {
			var frame *relayv1.ClaimResponse
			if frame, err = frames.Recv(); err == nil && frame.GetJobs() != nil { // every other frame can be ignored here
				err = run(client, frame.GetJobs())
			}
		}
		log.Print("stream ended: ", err)
	}
}

func run(client relayv1.QueueServiceClient, jobs *relayv1.Jobs) error {
	job := jobs.GetJobs()[0].GetJob() // the window is 1
	lease := []*relayv1.LeaseGroup{{Queue: jobs.GetQueue(), LeaseToken: jobs.GetLeaseToken(), JobIds: []string{job.GetId()}}}
	ctx, done := context.WithCancel(context.Background())
	defer done()
	go func() {
		for beat := time.Tick(jobs.GetLeaseRemaining().AsDuration() / 3); ; {
			select {
			case <-ctx.Done():
				return
			case <-beat:
				_, _ = client.Extend(ctx, &relayv1.ExtendRequest{Leases: lease}) // failed: the next beat tries again
			}
		}
	}()
	fmt.Println("ran", job.GetId(), string(job.GetPayload())) // the work
	_, err := client.Ack(ctx, &relayv1.AckRequest{Leases: lease})
	return err
}
