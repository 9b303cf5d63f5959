//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// imprint is what a guest must leave as it was.
type imprint struct {
	inode        uint64
	mode         uint32
	size         int64
	mtime, ctime int64
	hash         [32]byte
}

func imprints(t *testing.T, root string) map[string]imprint {
	t.Helper()
	out := map[string]imprint{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		i := imprint{inode: st.Ino, mode: st.Mode, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			i.hash = sha256.Sum256(data)
		}
		out[path] = i
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The agent reads a whole history and watches on, and under the account's tree no
// file is created, removed, renamed, written or touched: inodes, sizes, times of
// change and hashes stay, and the kernel reports nothing but opening to read.
func TestGuestLeavesNoTrace(t *testing.T) {
	s := newSite(t)
	s.serve()
	s.world.Make(5000, 30)
	before := imprints(t, s.world.Account)
	stop := watchWrites(t, s.world.Root)
	s.configure("capture: {poll: 200ms}\n")
	s.enroll()
	s.runAgent()
	s.wait("the history is archived", func() bool { return s.records() == 5000 }, s.agent, s.archive)
	time.Sleep(time.Second) // some polls more
	s.stop(s.agent)
	if events := stop(); len(events) > 0 {
		t.Errorf("the kernel saw: %s", strings.Join(events, ", "))
	}
	after := imprints(t, s.world.Account)
	for path, was := range before {
		if is, ok := after[path]; !ok || is != was {
			t.Errorf("%s: was %+v, is %+v", path, was, is)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s is new", path)
		}
	}
}

// watchWrites has the kernel report everything but reading below root.
func watchWrites(t *testing.T, root string) (stop func() []string) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	const mask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE
	dirs := map[int]string{}
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			wd, err := unix.InotifyAddWatch(fd, path, mask)
			if err != nil {
				t.Fatal(err)
			}
			dirs[wd] = path
		}
		return nil
	})
	return func() (out []string) {
		defer unix.Close(fd)
		buf := make([]byte, 1<<16)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil || n <= 0 {
				return out
			}
			for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
				wd := int(int32(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24))
				length := int(uint32(b[12]) | uint32(b[13])<<8)
				out = append(out, fmt.Sprintf("%s/%s %02x%02x", dirs[wd], strings.TrimRight(string(b[16:16+length]), "\x00"), b[5], b[4]))
				b = b[16+length:]
			}
		}
	}
}

// While the agent reads as busily as it can, a client's checkpoint is never held up,
// not even one that needs every reader gone, and the agent holds no lock on any file
// of the account.
func TestGuestHoldsNothingUp(t *testing.T) {
	s := newSite(t)
	s.serve()
	chat := s.world.Chat("--count", "30", "--rate", "0", "--recall", "0")
	chat.Wait()
	s.configure("capture: {poll: 100ms}\n")
	s.enroll()
	s.runAgent()
	s.wait("the agent captures", func() bool { return s.records() >= 30 }, s.agent, s.archive)

	locks := sampleLocks(t, s.agent.cmd.Process.Pid, s.world.Account)
	db, key := s.world.DB("message/message_0.db"), s.world.Key()
	table := strings.TrimSpace(s.world.Run("exec", "--db", db, "--key", key, "--sql", "SELECT name FROM sqlite_schema WHERE name LIKE 'Msg%' AND type='table' LIMIT 1"))
	name := regexp.MustCompile(`Msg_[0-9a-f]{32}`).FindString(table)
	if name == "" {
		t.Fatalf("no table in %q", table)
	}
	checkpoints := 25
	for i := range checkpoints {
		out := s.world.Run("exec", "--db", db, "--key", key, "--journal", "wal", "--no-close-checkpoint",
			"--sql", fmt.Sprintf("INSERT INTO %s(local_type, create_time, sort_seq, real_sender_id, message_content, server_id) VALUES (1, %d, %d, 1, 'm%d', %d)",
				name, time.Now().Unix(), time.Now().UnixMilli(), i, 1000+i),
			"--sql", "PRAGMA wal_checkpoint(TRUNCATE)")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var row []int
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &row); err != nil || len(row) != 3 {
			t.Fatalf("checkpoint %d answered %q", i, out)
		}
		if row[0] != 0 {
			t.Errorf("checkpoint %d was held up: %v", i, row)
		}
	}
	held, samples := locks()
	if len(held) > 0 {
		t.Errorf("the agent held locks: %v", held)
	}
	t.Logf("%d checkpoints, %d looks at /proc/locks", checkpoints, samples)
	s.wait("all is archived", func() bool { return s.records() == 30+checkpoints }, s.agent, s.archive)
	s.stop(s.agent)
}

// sampleLocks looks at /proc/locks again and again for a lock of the process on a
// file below root.
func sampleLocks(t *testing.T, pid int, root string) (stop func() (held []string, samples int)) {
	inodes := map[string]string{}
	filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		var st syscall.Stat_t
		if err == nil && syscall.Lstat(path, &st) == nil {
			inodes[strconv.FormatUint(st.Ino, 10)] = path
		}
		return nil
	})
	done := make(chan struct{})
	var wg sync.WaitGroup
	var held []string
	samples := 0
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			data, err := os.ReadFile("/proc/locks")
			if err != nil {
				t.Error(err)
				return
			}
			samples++
			for line := range strings.Lines(string(data)) {
				f := strings.Fields(line)
				if len(f) < 6 || f[4] != strconv.Itoa(pid) {
					continue
				}
				if path, ok := inodes[f[5][strings.LastIndex(f[5], ":")+1:]]; ok {
					held = append(held, path+" "+f[3])
				}
			}
		}
	})
	return func() ([]string, int) { close(done); wg.Wait(); return held, samples }
}

// Every system call of the agent that names or holds a file of the account is one
// that reads: traced, not sampled. Needs strace.
func TestGuestTraced(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: apt-get install strace")
	}
	s := newSite(t)
	s.serve()
	client := s.world.Chat("--rate", "50", "--checkpoint-after", "500ms", "--recall", "0.05", "--recall-after", "300ms")
	s.world.Ready(t.Context())
	s.configure("capture: {poll: 200ms}\n")
	s.enroll()
	trace := s.path("trace")
	cmd := exec.Command("strace", "-f", "-qq", "-y", "-o", trace,
		"-e", "trace=open,openat,openat2,creat,fcntl,flock,write,pwrite64,writev,pwritev,ftruncate,truncate,unlink,unlinkat,rename,renameat,renameat2,mmap,fallocate,chmod,fchmod,utimensat,link,linkat,mkdir,mkdirat,setxattr,fsetxattr",
		filepath.Join(s.bin, "tidemark"), "run")
	cmd.Env = s.env()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-done })
	s.wait("much is archived", func() bool { return s.records() > 300 }, s.archive)
	client.Stop()
	// The agent is strace's child: it alone must end, then strace does.
	if err := exec.Command("pkill", "-TERM", "-P", strconv.Itoa(cmd.Process.Pid)).Run(); err != nil {
		t.Fatal(err)
	}
	<-done
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	readOnly := regexp.MustCompile(`^\d+ +openat\([^,]*, "[^"]*", O_RDONLY(\|O_(CLOEXEC|NONBLOCK|NOFOLLOW|LARGEFILE))*[) ]`)
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, s.world.Account) || strings.Contains(line, "O_DIRECTORY") || strings.Contains(line, "resumed>") {
			continue
		}
		switch {
		case readOnly.MatchString(line):
			opened++
		case strings.Contains(line, "F_GETFL"), strings.Contains(line, "F_DUPFD_CLOEXEC"):
			// looks at flags, takes no lock
		case strings.Contains(line, "F_SETFL") && !strings.Contains(line, "O_WRONLY") && !strings.Contains(line, "O_RDWR"):
			// Go's runtime sets O_NONBLOCK on its own description of the file
		default:
			t.Errorf("more than reading: %s", line)
		}
	}
	if opened < 20 {
		t.Errorf("only %d opens seen: the trace shows nothing", opened)
	}
	t.Logf("%d opens, all to read", opened)
}
