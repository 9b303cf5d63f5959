//go:build !windows

package archive_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/seal"
)

var errInjected = errors.New("injected")

// faultPoints calls f for each of the steps of commit, failing before and after it took
// effect: a lost answer is not a lost write.
func faultPoints(t *testing.T, steps []string, f func(t *testing.T, step string, landed bool)) {
	for _, step := range steps {
		for _, landed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/landed=%t", step, landed), func(t *testing.T) { f(t, step, landed) })
		}
	}
}

// A failed step costs the device an error and a resend, and nothing else: each
// batch is kept, logged and indexed exactly once, in the same process and in the
// next, and the lane goes on.
func TestFailedStep(t *testing.T) {
	faultPoints(t, archive.Steps, func(t *testing.T, step string, landed bool) {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("restart=%t", restart), func(t *testing.T) {
				w := newWorld(t)
				d := w.device()
				first := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one"))
				w.append(d, first)
				w.close()

				w.openFailing(step, landed, errInjected)
				two := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "two"), archivetest.Text(d.ID(), "c", 3, "three"))
				three := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 4, "four"))
				if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{two, three}); !errors.Is(err, errInjected) {
					t.Fatalf("append: %v, want the injected error", err)
				}
				if restart {
					w.restart()
				}
				notes := w.append(d, two, three)
				if again := w.append(d, two, three); !bytes.Equal(bytes.Join(again, nil), bytes.Join(notes, nil)) {
					t.Error("the same batches got other receipts")
				}
				w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 5, "five")))
				w.wantSound(4, 5)
				w.restart()
				w.wantSound(4, 5)
			})
		}
	})
}

const (
	crashDir    = "TIDEMARK_TEST_CRASH_DIR"
	crashStep   = "TIDEMARK_TEST_CRASH_STEP"
	crashLanded = "TIDEMARK_TEST_CRASH_LANDED"
)

// crash is what the child process of TestKilled does: append the batches in the
// folder's file and be killed on the way.
func crash(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	landed := os.Getenv(crashLanded) == "true"
	a, err := archive.OpenHooked(context.Background(), filepath.Join(dir, "a"), archive.Options{}, func(s string, l bool) error {
		if s == os.Getenv(crashStep) && l == landed {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		}
		return nil
	})
	if err != nil {
		fail(err)
	}
	f, err := os.Open(filepath.Join(dir, "batches"))
	if err != nil {
		fail(err)
	}
	var batches []*seal.Batch
	var restarts []*seal.Restart
	for r := bufio.NewReader(f); ; {
		restart, err := seal.ReadRestart(r)
		if err != nil {
			fail(err)
		}
		if restart != nil {
			restarts = append(restarts, restart)
		}
		b, err := seal.ReadBatch(r)
		if err != nil {
			break
		}
		batches = append(batches, b)
	}
	if _, err := a.Append(context.Background(), laneOf(batches[0]), batches, restarts...); err != nil {
		fail(err)
	}
	fail(errors.New("was not killed"))
}

// A server killed with SIGKILL at any step leaves what the next one completes:
// nothing lost, nothing twice, nothing for verify to report.
func TestKilled(t *testing.T) {
	faultPoints(t, archive.Steps, func(t *testing.T, step string, landed bool) {
		w := newWorld(t)
		d := w.device()
		w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
		w.close()
		var batches []*seal.Batch
		var body []byte
		for n := 2; n <= 4; n++ {
			b := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", n, fmt.Sprint(n)))
			batches = append(batches, b)
			body = append(body, b.Raw...)
		}
		w.killedAt(step, landed, body)
		w.open()
		w.append(d, batches...)
		w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 5, "five")))
		w.wantSound(5, 5)
	})
}

// killedAt appends what is in the body in a process that is killed at the step, and checks
// that nothing is wrong with what it leaves: at most something is pending.
func (w *world) killedAt(step string, landed bool, body []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(w.dir), "batches"), body, 0o600); err != nil {
		w.t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDir+"="+filepath.Dir(w.dir), crashStep+"="+step, fmt.Sprintf("%s=%t", crashLanded, landed))
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.t.Fatalf("child: %v, want it killed: %s", err, out)
	}
	for _, f := range w.verify().Faults {
		w.t.Errorf("verify before the restart: %s", f)
	}
}

// The same with a restart behind a hole: failed or killed at any step, also between the
// restart and its batch, the lane goes on behind the hole, once.
func TestRestartAtEachStep(t *testing.T) {
	faultPoints(t, archive.RestartSteps, func(t *testing.T, step string, landed bool) {
		for _, how := range []string{"failed", "killed"} {
			t.Run(how, func(t *testing.T) {
				w := newWorld(t)
				d := w.device()
				w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one")))
				w.close()
				d.Rotate(seal.Messages) // the lost batches carry the new key's header
				restart := d.Lose(seal.Messages, 2, true)
				four := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 4, "four"))
				five := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 5, "five"))
				if how == "killed" {
					w.killedAt(step, landed, slices.Concat(restart.Raw, four.Raw, five.Raw))
					w.open()
				} else {
					w.openFailing(step, landed, errInjected)
					if _, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{four, five}, restart); !errors.Is(err, errInjected) {
						t.Fatalf("append: %v, want the injected error", err)
					}
				}
				notes, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{four, five}, restart)
				if err != nil || len(notes) != 2 {
					t.Fatalf("%d receipts, %v", len(notes), err)
				}
				again, err := w.a.Append(t.Context(), messages(d), []*seal.Batch{four, five}, restart)
				if err != nil || !bytes.Equal(bytes.Join(again, nil), bytes.Join(notes, nil)) {
					t.Errorf("the same batches got other receipts, %v", err)
				}
				w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 6, "six")))
				w.wantSound(4, 4)
				if holes := w.verify().Holes; len(holes) != 1 || holes[0].From != 2 || holes[0].To != 3 {
					t.Errorf("holes %+v", holes)
				}
			})
		}
	})
}
