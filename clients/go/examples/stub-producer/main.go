// Command stub-producer enqueues one job with the generated stubs alone, without the SDK.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	relayv1 "github.com/relay-broker/relay/clients/go/gen/relay/v1"
)

// Repeats a call that found no server. The job's id, minted here, makes a repeat harmless.
const serviceConfig = `{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.1s",
	"maxBackoff": "2s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func main() {
	server := flag.String("server", "localhost:50051", "host:port of the server")
	queue := flag.String("queue", "stubs", "queue to enqueue into")
	flag.Parse()
	conn, err := grpc.NewClient(*server, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(serviceConfig))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := relayv1.NewQueueServiceClient(conn).Enqueue(ctx, &relayv1.EnqueueRequest{
		Queue: *queue,
		Job:   &relayv1.JobSpec{Id: newUUID(), Type: "greet", Payload: []byte(`{"name": "Ada"}`)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.GetJobId())
}

// newUUID mints a version 7: ids that rise with time keep the server's indexes dense.
func newUUID() string {
	id := make([]byte, 10)
	_, _ = rand.Read(id) // never fails
	ms := time.Now().UnixMilli()
	return fmt.Sprintf("%08x-%04x-7%03x-%04x-%x", ms>>16, ms&0xffff, int(id[0])<<4|int(id[1])>>4, 0x8000|int(id[2]&0x3f)<<8|int(id[3]), id[4:])
}
