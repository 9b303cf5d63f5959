package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/collector/simtest"
	"tidemark/internal/faultfs"
)

// The tests of this file are the fault suite, make faults. The programs are the released
// ones and know nothing of it: their state folder and the archive's folder lie on a file
// system of the test's, which ends them, or the power, in the middle of a change.

// faults says how many faults a test injects: TIDEMARK_FAULTS, or n.
func faults(n int) int {
	if v, err := strconv.Atoi(os.Getenv("TIDEMARK_FAULTS")); err == nil {
		return v
	}
	return n
}

// rig is a site whose folders lie on a file system of faults.
type rig struct {
	*site
	fs  *faultfs.FS
	rng *rand.Rand

	mu      sync.Mutex
	victim  string // whose changes count: state or archive; "" for none
	left    int    // changes until the fault
	phase   faultfs.Phase
	cut     bool // the power, not a process
	process *process
	fired   chan struct{}
	kinds   map[string]int // faults by phase and kind of change
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{kinds: map[string]int{}, fired: make(chan struct{}, 1)}
	seed := uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("TIDEMARK_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("seed %d (TIDEMARK_SEED repeats its choices)", seed)
	r.rng = rand.New(rand.NewPCG(seed, 0))
	r.site = newSiteIn(t, filepath.Join(t.TempDir(), "mnt"), r.mount)
	return r
}

// mount puts the site's folder on the file system.
func (r *rig) mount(s *site) {
	base := filepath.Dir(s.dir)
	for _, d := range []string{"mnt", "disk", "trash"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	f, err := faultfs.Mount(s.dir, filepath.Join(base, "disk"), filepath.Join(base, "trash"))
	if err != nil {
		s.t.Skipf("no FUSE for this user: %v", err)
	}
	r.fs = f
	f.Hook(r.hook)
	s.t.Cleanup(func() {
		for _, p := range []*process{s.agent, s.archive} {
			if p != nil {
				p.kill()
			}
		}
		f.Unmount() // harmless when it is unmounted
	})
}

// hook brings the fault down when its change comes.
func (r *rig) hook(op faultfs.Op, p faultfs.Phase) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.victim == "" || !strings.HasPrefix(op.Path, r.victim+"/") {
		return nil
	}
	if p == faultfs.Before && r.left > 0 {
		r.left--
	}
	if r.left > 0 || p != r.phase {
		return nil
	}
	r.victim = ""
	r.kinds[fmt.Sprintf("%s %s %s", op.Path[:1], p, op.Kind)]++
	if r.cut {
		r.fs.CutInHook()
	} else {
		r.process.cmd.Process.Signal(syscall.SIGKILL)
	}
	r.fired <- struct{}{}
	return syscall.EIO // nobody is there to see it
}

// arm sets the next fault: at one of the victim's next n changes.
func (r *rig) arm(victim string, p *process, n int, cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.victim, r.process, r.cut = victim, p, cut
	r.left, r.phase = 1+r.rng.IntN(n), faultfs.Phase(r.rng.IntN(3))
}

// disarm takes the fault back and says whether it came before.
func (r *rig) disarm() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.victim = ""
	select {
	case <-r.fired:
		return true
	default:
		return false
	}
}

// begin starts archive, client and agent on a disk that has everything so far.
func (r *rig) begin() *simtest.Chat {
	r.t.Helper()
	r.serve()
	client := r.world.Chat("--rate", "40", "--recall", "0.03", "--recall-after", "3s", "--checkpoint-after", "3s")
	r.world.Ready(r.t.Context())
	r.configure("")
	r.enroll()
	r.fs.Sync()
	r.runAgent()
	return client
}

// await waits for the fault, for a while: a process at rest makes no change.
func (r *rig) await() bool {
	select {
	case <-r.fired:
		return true
	case <-time.After(3 * time.Second):
		return r.disarm()
	}
}

// settle brings everything home after the last fault: a fresh message still flows, all
// is in the archive once and unchanged, and the archive is sound.
func (r *rig) settle() {
	r.t.Helper()
	before := r.records()
	r.world.Chat("--count", "20", "--rate", "0", "--recall", "0").Wait()
	r.wait("a fresh message still flows", func() bool { return r.records() >= before+20 }, r.agent, r.site.archive)
	r.stop(r.agent)
	r.must("tidemark", "once")
	r.stop(r.site.archive)
	r.compare("--grace", "1m")
	r.verify()
	r.searchForSecrets(r.agent, r.site.archive)
	r.t.Logf("faults %v", r.kinds)
}

// Promise 1 to 3 of docs/reliability.md under SIGKILL before, in the middle of and after
// changes of files, in the agent's folder and in the archive's.
func TestFaultKill(t *testing.T) {
	n := faults(10)
	r := newRig(t)
	client := r.begin()
	for done, tries := 0, 0; done < n && tries < 3*n; tries++ {
		if tries%3 == 2 {
			r.arm("archive", r.site.archive, 40, false)
			if r.await() {
				done++
			}
			r.site.archive.kill()
			r.serve()
			continue
		}
		r.arm("state", r.agent, 40, false)
		if r.await() {
			done++
		}
		r.agent.kill()
		r.runAgent()
	}
	r.disarm()
	client.Stop()
	r.settle()
}

// The same when the power goes: both programs end at once, and of what they had not
// synced anything may be on the disk.
func TestFaultPowerCut(t *testing.T) {
	n := faults(6)
	r := newRig(t)
	client := r.begin()
	for done, tries := 0, 0; done < n && tries < 3*n; tries++ {
		victim, p := "state", r.agent
		if tries%2 == 1 {
			victim, p = "archive", r.site.archive
		}
		r.arm(victim, p, 60, true)
		if !r.await() {
			continue
		}
		done++
		r.agent.kill()
		r.site.archive.kill()
		if err := r.fs.Unmount(); err != nil {
			t.Fatal(err)
		}
		if err := r.fs.Restore(r.rng); err != nil {
			t.Fatal(err)
		}
		r.mount(r.site)
		r.serve()
		r.runAgent()
	}
	r.disarm()
	client.Stop()
	r.settle()
}
