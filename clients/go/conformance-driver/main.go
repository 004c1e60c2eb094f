// Command conformance-driver lets the conformance kit drive this SDK: JSON commands on stdin, events on stdout. The control
// protocol is clients/conformance/PROTOCOL.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/relay-broker/relay/clients/go/relay"
)

func main() {
	// stdout is for events alone.
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	driver := &driver{out: json.NewEncoder(os.Stdout), finished: make(chan struct{})}
	driver.stopped, driver.drain = signal.NotifyContext(context.Background(), syscall.SIGTERM)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go func() {
		<-terminated
		if driver.isWorking() {
			<-driver.finished
		}
		os.Exit(0)
	}()
	driver.read()
}

// command is the union of all commands' fields.
type command struct {
	Command     string                 `json:"command"`
	ID          string                 `json:"id"`
	Target      string                 `json:"target"`
	Token       string                 `json:"token"`
	Queue       string                 `json:"queue"`
	DeadlineMS  int64                  `json:"deadline_ms"`
	Mode        string                 `json:"mode"`
	Jobs        []jobSpec              `json:"jobs"`
	Queues      map[string]int         `json:"queues"`
	WorkerID    string                 `json:"worker_id"`
	Concurrency int                    `json:"concurrency"`
	LeaseMS     int64                  `json:"lease_ms"`
	GraceMS     *int64                 `json:"grace_ms"`
	Handlers    map[string]handlerSpec `json:"handlers"`
}

type driver struct {
	mu  sync.Mutex
	out *json.Encoder

	stopped  context.Context // ends when the worker is to drain
	drain    context.CancelFunc
	working  bool
	finished chan struct{}
}

func (d *driver) emit(event map[string]any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.out.Encode(event); err != nil {
		os.Exit(1) // the kit is gone
	}
}

func (d *driver) fail(err error) {
	d.emit(map[string]any{"event": "failed", "message": err.Error()})
}

func (d *driver) isWorking() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.working
}

func (d *driver) read() {
	// Not a bufio.Scanner: that one has a longest line, and payloads travel in lines.
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // the end of stdin
		}
		var one command
		if err := json.Unmarshal(line, &one); err != nil {
			d.fail(fmt.Errorf("a line that is no command: %w", err))
			continue
		}
		switch one.Command {
		case "hello":
			d.emit(map[string]any{
				"event": "hello", "protocol": 1, "sdk": "relay-go", "version": relay.Version, "language": "go",
				"capabilities": []string{"produce", "work", "signal"},
			})
		case "produce":
			go d.produce(one)
		case "work":
			d.work(one)
		case "drain":
			d.drain()
		case "exit":
			return
		default:
			d.fail(errors.New("unknown command " + one.Command))
		}
	}
}

func milliseconds(value int64) time.Duration { return time.Duration(value) * time.Millisecond }
