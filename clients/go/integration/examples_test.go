package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/relay-broker/relay/clients/go/internal/relaytest"
)

// start starts a program and gives its lines; it is killed when the test ends.
func start(t *testing.T, program string, arguments ...string) (lines <-chan string, ended func() error) {
	t.Helper()
	command := exec.Command(program, arguments...)
	command.Env = append(os.Environ(), "RELAY_SERVER="+server.Target)
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1000)
	go func() {
		defer close(said)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			said <- scanner.Text()
		}
	}()
	waited := false
	t.Cleanup(func() {
		if !waited {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	})
	return said, func() error {
		waited = true
		late := time.AfterFunc(within, func() { _ = command.Process.Kill() })
		defer late.Stop()
		return command.Wait()
	}
}

// build builds one package of this module, and gives the program.
func build(t *testing.T, name string, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(name))
	arguments := append([]string{"build", "-o", program}, flags...)
	command := exec.Command("go", append(arguments, "./"+name)...)
	command.Dir = relaytest.Root()
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return program
}

func TestTheReadmesExampleRuns(t *testing.T) {
	noLeaks(t)
	readme, err := os.ReadFile(filepath.Join(relaytest.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllSubmatch(readme, -1)
	if len(blocks) != 1 {
		t.Fatalf("the README has %d Go blocks; this test runs the one", len(blocks))
	}
	folder := t.TempDir()
	source := filepath.Join(folder, "main.go")
	if err := os.WriteFile(source, blocks[0][1], 0o600); err != nil {
		t.Fatal(err)
	}
	// An overlay puts the example into the module without writing there.
	virtual := filepath.Join(relaytest.Root(), "examples", "readme", "main.go")
	overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {virtual: source}})
	file := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	said, ended := start(t, build(t, "examples/readme", "-overlay", file))
	if line := take(t, said); !strings.HasPrefix(line, "enqueued ") {
		t.Errorf("said %q", line)
	}
	if line := take(t, said); line != "welcome a@example.com" {
		t.Errorf("said %q", line)
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
}

func TestStubsAloneProduceAndWork(t *testing.T) {
	noLeaks(t)
	desk, queue := newDesk(t), newQueue()
	produced, ended := start(t, build(t, "examples/stub-producer"), "-server", server.Target, "-queue", queue)
	id := take(t, produced)
	if err := ended(); err != nil {
		t.Fatal(err)
	}
	ran, _ := start(t, build(t, "examples/stub-worker"), "-server", server.Target, "-queue", queue)
	if line := take(t, ran); line != "ran "+id+` {"name": "Ada"}` {
		t.Errorf("said %q", line)
	}
	eventually(t, "the ack", func() bool { return desk.stats(t, queue).GetCounters().GetAcked() == 1 })
}

func TestTheDemoDoesItsJobs(t *testing.T) {
	noLeaks(t)
	said, ended := start(t, build(t, "examples/demo"), "-server", server.Target, "-queue", newQueue(), "-jobs", "40")
	if one, two := take(t, said), take(t, said); one != "40 jobs enqueued" || two != "40 jobs done" {
		t.Errorf("said %q, %q", one, two)
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
}

func TestTheBenchPrintsItsLine(t *testing.T) {
	noLeaks(t)
	said, ended := start(t, build(t, "examples/bench"), "-server", server.Target, "-queue", newQueue(), "-jobs", "200")
	var report map[string]any
	if err := json.Unmarshal([]byte(take(t, said)), &report); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"enqueue_per_s", "enqueue_batch_per_s", "work_per_s"} {
		if value, _ := report[name].(float64); value <= 0 {
			t.Errorf("%s is %v", name, report[name])
		}
	}
	if err := ended(); err != nil {
		t.Error(err)
	}
}
