// Command secure enqueues one job over TLS, with a token from RELAY_TOKEN and a client certificate.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/relay-broker/relay/clients/go/relay"
)

func main() {
	server := flag.String("server", "localhost:50051", "host:port of the server")
	queue := flag.String("queue", "orders", "queue to enqueue into")
	caFile := flag.String("ca-file", "", "PEM file of the authority to trust")
	certFile := flag.String("cert-file", "", "PEM file of the client's certificate")
	keyFile := flag.String("key-file", "", "PEM file of its key")
	flag.Parse()
	config, err := tlsConfig(*caFile, *certFile, *keyFile)
	if err != nil {
		log.Fatal(err)
	}
	if err := enqueue(*server, *queue, config, os.Getenv("RELAY_TOKEN")); err != nil {
		log.Fatal(err)
	}
}

func tlsConfig(caFile, certFile, keyFile string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}}, nil
}

func enqueue(server, queue string, config *tls.Config, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, err := relay.New(ctx, server, relay.WithTLS(config), relay.WithToken(token))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	job, err := client.Enqueue(ctx, queue, "greet", map[string]string{"name": "Ada"})
	if err != nil {
		return err
	}
	fmt.Println(job.ID)
	return nil
}
