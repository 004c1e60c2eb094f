// Package relaytest runs a real relay-server, with a Redis of its own, for tests.
package relaytest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// CommandVariable names the command that starts a server; without it the one of this repository's .venv is used.
const CommandVariable = "RELAY_SERVER_COMMAND"

const (
	startWithin = 30 * time.Second
	stopWithin  = 15 * time.Second
)

var addressPattern = regexp.MustCompile(`^relay-server ready grpc=(\S+)`)

// Server is a running server.
type Server struct {
	// Target is its address, as clients take it.
	Target string

	command *exec.Cmd
	folder  string
	output  *tail
}

// Start starts a server on a free port and waits until it serves.
func Start(arguments ...string) (*Server, error) {
	words := strings.Fields(os.Getenv(CommandVariable))
	if len(words) == 0 {
		words = []string{filepath.Join(Root(), "..", "..", ".venv", "bin", "relay-server")}
	}
	folder, err := os.MkdirTemp("", "relay-go-")
	if err != nil {
		return nil, err
	}
	words = append(words, "--listen", "127.0.0.1:0", "--http", "off", "--data-dir", folder)
	words = append(words, arguments...)
	server := &Server{command: exec.Command(words[0], words[1:]...), folder: folder, output: &tail{}}
	if err := server.start(); err != nil {
		server.Stop()
		return nil, fmt.Errorf("no relay-server from %q (run make venv, or set %s): %w\n%s", words[0], CommandVariable, err, server.output)
	}
	return server, nil
}

func (s *Server) start() error {
	s.command.Stderr = s.output
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return err
	}
	address := make(chan string, 1)
	go func() {
		defer close(address)
		lines := bufio.NewScanner(io.TeeReader(stdout, s.output))
		for lines.Scan() {
			if match := addressPattern.FindStringSubmatch(lines.Text()); match != nil {
				address <- match[1]
			}
		}
	}()
	select {
	case target, ok := <-address:
		if !ok {
			return errors.New("it ended before it served")
		}
		s.Target = target
		return nil
	case <-time.After(startWithin):
		return fmt.Errorf("it did not say its address within %v", startWithin)
	}
}

// Stop ends the server and removes its data. It may be repeated.
func (s *Server) Stop() {
	if s.command.Process != nil && s.command.ProcessState == nil {
		_ = s.command.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(stopWithin, func() { _ = s.command.Process.Kill() })
		_ = s.command.Wait() // how it ends is not what is tested
		late.Stop()
	}
	_ = os.RemoveAll(s.folder)
}

// Root is the folder of this module.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// tail keeps what the server said, for the report of a failure.
type tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(data)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
