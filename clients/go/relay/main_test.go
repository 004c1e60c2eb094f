package relay_test

import (
	"fmt"
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/relay-broker/relay/clients/go/internal/relaytest"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run starts a server for the examples, and looks for goroutines that were left behind.
func run(m *testing.M) int {
	server, err := relaytest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	target = server.Target
	slog.SetLogLoggerLevel(slog.LevelError)
	code := m.Run()
	server.Stop()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
