package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/registry"
	"tidemark/internal/faultfs"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

// serve goes on by itself after the disk has failed: whichever write or sync of a batch,
// its receipt or the log answers EIO, for a while, no receipt is given that does not
// hold, the same process takes the same batch afterwards, and verify finds it once.
func TestDiskFails(t *testing.T) {
	for _, c := range []struct{ name, kind, path string }{
		{"writing a batch", "write", ".tmb"},
		{"syncing a batch", "sync", ".tmb"},
		{"syncing the batches' folder", "syncdir", "/messages"},
		{"writing a receipt", "write", "/receipts"},
		{"syncing a receipt", "sync", "/receipts"},
		{"writing the log", "write", "log/tile"},
		{"writing the log's state", "write", "treeState"},
		{"writing the index", "write", "index.db-wal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mnt := filepath.Join(dir, "mnt")
			for _, d := range []string{"mnt", "disk", "trash"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			// What is not the server's is done below the mount: SQLite maps memory, and a
			// process that waits for a page of its own file system waits for ever.
			under := filepath.Join(dir, "disk", "arch")
			token := makeArchive(t, under)
			disk, err := faultfs.Mount(mnt, filepath.Join(dir, "disk"), filepath.Join(dir, "trash"))
			if err != nil {
				t.Skipf("no FUSE for this user: %v", err)
			}
			t.Cleanup(func() { disk.Unmount() })
			var broken atomic.Bool
			var failed atomic.Int32
			disk.Hook(func(op faultfs.Op, p faultfs.Phase) error {
				if broken.Load() && p == faultfs.Before && op.Kind == c.kind && strings.Contains(op.Path, c.path) {
					failed.Add(1)
					return syscall.EIO
				}
				return nil
			})
			s := newServed(t, filepath.Join(mnt, "arch"), under, token, filepath.Join(dir, "addr"))
			one, two := s.seal(1), s.seal(2)
			s.untilReceipted(one)
			broken.Store(true)
			for range 2 {
				if status, body := s.post(two); status == http.StatusOK {
					t.Fatalf("a receipt on a broken disk: %s", body)
				}
			}
			if failed.Load() == 0 {
				t.Fatal("nothing failed")
			}
			broken.Store(false)
			s.untilReceipted(two)
			s.stop()
			r, err := audit.Verify(context.Background(), archive.Folder(under), audit.Options{})
			if err != nil || len(r.Faults) > 0 || r.Batches != 2 || r.Records != 2 {
				t.Errorf("verify: %+v, %v", r, err)
			}
		})
	}
}

// makeArchive makes an archive and a token for one device.
func makeArchive(t *testing.T, dir string) (token string) {
	t.Helper()
	if _, err := archive.Init(t.Context(), dir, "archive.test", time.Now()); err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(archive.Folder(dir).Registry())
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	if token, err = reg.NewToken(1, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return token
}

// served is an archive behind the serve command, in a process, and one device of it.
type served struct {
	t       *testing.T
	url     string
	device  *archivetest.Device
	archive *seal.Archive
	stop    func()
}

// newServed serves the folder dir, which is under without the mount.
func newServed(t *testing.T, dir, under, token, addrFile string) *served {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Args = []string{"tidemark-archive", "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--addr-file", addrFile}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &served{t: t}
	s.stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		last := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer last.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	var addr []byte
	for range 1000 {
		if addr, _ = os.ReadFile(addrFile); len(addr) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.url = "http://" + strings.TrimSpace(string(addr))
	keys, err := archive.Folder(under).LoadKeys()
	if err != nil {
		t.Fatal(err)
	}
	s.archive = keys.Archive
	s.device = archivetest.NewDevice(t, s.archive)
	var e protocol.Enrollment
	protocol.SignEnrollment(&e, s.device.Identity, s.archive.Key)
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := s.send(protocol.PathEnroll, protocol.TypeJSON, token, body); status != http.StatusOK {
		t.Fatalf("enrol: %d %s", status, answer)
	}
	return s
}

// send returns status 0 when nobody answers.
func (s *served) send(path, contentType, token string, body []byte) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, answer
}

func (s *served) seal(n int) *seal.Batch {
	return s.device.Seal(seal.Messages, archivetest.Text(s.device.ID(), "c", n, fmt.Sprint(n)))
}

func (s *served) post(b *seal.Batch) (int, []byte) {
	s.t.Helper()
	path := strings.Replace(protocol.PathBatches, "{lane}", b.Lane.String(), 1)
	token, err := protocol.Token(s.device.Identity, s.archive.Name(), http.MethodPost, path, b.Raw, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.send(path, protocol.TypeBatches, token, b.Raw)
}

// untilReceipted sends the batch as a device does, until there is a good receipt.
func (s *served) untilReceipted(b *seal.Batch) {
	s.t.Helper()
	var status int
	var body []byte
	for range 600 {
		if status, body = s.post(b); status == http.StatusOK {
			var r protocol.Receipts
			err := json.Unmarshal(body, &r)
			if err == nil {
				var receipt *seal.Receipt
				if receipt, err = seal.OpenReceipt([]byte(r.Receipts[0]), s.archive.ReceiptVerifier()); err == nil {
					err = receipt.Covers(b)
				}
			}
			if err != nil {
				s.t.Fatal(err)
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("no receipt after 30 s: %d %s", status, body)
}
