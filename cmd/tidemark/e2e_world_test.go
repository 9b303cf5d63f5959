package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/collector/simtest"
)

// The tests of files named e2e, crash, guest and bench run the real programs: an
// agent and an archive as processes, a simulated client that writes with real
// SQLCipher, HTTP on loopback between them.

// programs builds both programs once, the way they are released.
var programs = sync.OnceValues(func() (string, error) { return build() })

// build builds both programs into a folder.
func build(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "tidemark-e2e-")
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	cmd := exec.Command("go", append(args, "tidemark/cmd/tidemark", "tidemark/cmd/tidemark-archive")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return dir, nil
}

// site is one archive and one laptop with a simulated client.
type site struct {
	t     testing.TB
	dir   string
	bin   string
	world *simtest.World

	key     string // ARCHIVEKEY
	addr    string // where the archive listens, kept over restarts
	archive *process
	agent   *process
}

func newSite(t testing.TB) *site {
	t.Helper()
	return newSiteIn(t, t.TempDir(), func(*site) {})
}

// newSiteIn makes a site in a folder, with whatever prepare puts there before.
func newSiteIn(t testing.TB, dir string, prepare func(*site)) *site {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the archive's log needs a POSIX file system")
	}
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, bin: bin, world: simtest.New(t)}
	prepare(s)
	s.key = strings.TrimSpace(s.must("tidemark-archive", "init", "--dir", s.path("archive")))
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// must runs a program to its end and returns its standard output.
func (s *site) must(program string, args ...string) string {
	s.t.Helper()
	out, stderr, code := s.run(program, args...)
	if code != 0 {
		s.t.Fatalf("%s %s: exit %d\n%s%s", program, strings.Join(args, " "), code, out, stderr)
	}
	return out
}

func (s *site) run(program string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Env = s.env()
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// env keeps the machine's own accounts and settings out of the test.
func (s *site) env() []string {
	home := s.path("home")
	os.MkdirAll(home, 0o700)
	return append(os.Environ(), "HOME="+home, "TIDEMARK_CONFIG="+s.path("tidemark.yaml"), "TIDEMARK_ARCHIVE_DIR="+s.path("archive"))
}

// process is a program that runs until it is stopped.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	log  *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (s *site) start(program string, args ...string) *process {
	s.t.Helper()
	return s.launch(exec.Command(filepath.Join(s.bin, program), args...))
}

// launch starts a program that ends with the test at the latest.
func (s *site) launch(cmd *exec.Cmd) *process {
	s.t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{}), log: &lockedBuffer{}}
	p.cmd.Env, p.cmd.Stderr = append(s.env(), cmd.Env...), p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	s.t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// stop ends a program in good order and demands that it says so.
func (s *site) stop(p *process) {
	s.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.kill()
		s.t.Fatalf("%s does not stop:\n%s", p.cmd.Path, p.log)
	}
	if p.err != nil {
		s.t.Fatalf("%s: %v\n%s", p.cmd.Path, p.err, p.log)
	}
}

// serve starts the archive and waits until it answers.
func (s *site) serve() {
	s.t.Helper()
	file := s.path("addr")
	os.Remove(file)
	listen := s.addr
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	start := func() { s.archive = s.start("tidemark-archive", "serve", "--listen", listen, "--addr-file", file) }
	start()
	s.wait("the archive answers", func() bool {
		select {
		case <-s.archive.done:
			// An agent that calls while nobody listens may be given the very port.
			if !strings.Contains(s.archive.log.String(), "address already in use") {
				s.t.Fatalf("the archive ended: %v\n%s", s.archive.err, s.archive.log)
			}
			start()
		default:
		}
		b, err := os.ReadFile(file)
		s.addr = strings.TrimSpace(string(b))
		return err == nil && s.addr != ""
	})
}

// configure writes the agent's configuration; extra is YAML.
func (s *site) configure(extra string) {
	s.t.Helper()
	text := fmt.Sprintf(`archive: {url: "http://%s", key: %s}
state_dir: %s
sources: [%s]
keys:
  - {source: file, path: %s}
%s`, s.addr, s.key, s.path("state"), s.world.Root, s.world.Keys, extra)
	if err := os.WriteFile(s.path("tidemark.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) enroll() {
	s.t.Helper()
	token := s.must("tidemark-archive", "token")
	if err := os.WriteFile(s.path("token"), []byte(token), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.must("tidemark", "enroll", "--url", "http://"+s.addr, "--key", s.key, "--token-file", s.path("token"))
}

func (s *site) runAgent() { s.agent = s.start("tidemark", "run") }

// wait waits for something that must come, however long a busy machine takes.
func (s *site) wait(what string, ok func() bool, alive ...*process) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	for !ok() {
		for _, p := range alive {
			select {
			case <-p.done:
				s.t.Fatalf("waiting until %s: %s ended: %v\n%s", what, p.cmd.Path, p.err, p.log)
			default:
			}
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("waited in vain until %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// compare holds the archive's records against the oracle.
func (s *site) compare(args ...string) {
	s.t.Helper()
	file := s.path("records.ndjson")
	if err := os.WriteFile(file, []byte(s.must("tidemark-archive", "records")), 0o600); err != nil {
		s.t.Fatal(err)
	}
	f := s.world.Compare(file, args...)
	if !f.OK {
		s.t.Errorf("archive and oracle differ:\n%s", f.Report)
	} else {
		s.t.Log(strings.TrimSpace(f.Report))
	}
}

// verify has the archive check itself.
func (s *site) verify() {
	s.t.Helper()
	if out, stderr, code := s.run("tidemark-archive", "verify"); code != 0 {
		s.t.Errorf("verify: exit %d\n%s%s", code, out, stderr)
	}
}
