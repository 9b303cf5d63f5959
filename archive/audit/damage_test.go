//go:build !windows

package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/registry"
	"tidemark/archive/tlog"
	"tidemark/seal"
)

// damaged is one kind of damage to an archive's folder and what must come of it.
type damaged struct {
	name  string
	harm  func(t *testing.T, fx fixture)
	fault string // in one of verify's faults; empty when nothing is wrong
	serve error  // that serve refuses with; nil when it goes on
	log   string // what serve says at once of what it goes on with; empty when nothing
	after string // like fault, once serve has run
}

// The table "Damage to the archive's folder" of docs/reliability.md: what verify says of
// each kind of damage, and whether serve mends it, goes on and says so, or refuses. Where
// it goes on, the next batch of the lane is taken.
func TestDamage(t *testing.T) {
	fx := template(t, chainLen)
	yesterday := fx.copied(t)
	fx.grow(t) // batch 13: what yesterday's copy lacks
	other := template(t, 2)
	seven := fmt.Sprintf("%s/7:", fx.a)
	last := fmt.Sprintf("%s/%d:", fx.a, chainLen+1)
	anyError := errors.New("any")

	zero := func(b []byte) []byte { clear(b[len(b)/3 : 2*len(b)/3]); return b }
	half := func(b []byte) []byte { return b[:len(b)/2] }
	file := func(name func(fx fixture) string, change func([]byte) []byte) func(*testing.T, fixture) {
		return func(t *testing.T, fx fixture) { edit(t, name(fx), change) }
	}
	remove := func(name func(fx fixture) string) func(*testing.T, fixture) {
		return func(t *testing.T, fx fixture) { must(t, os.RemoveAll(name(fx))) }
	}
	from := func(of fixture, name func(fx fixture) string) func(*testing.T, fixture) {
		return func(t *testing.T, fx fixture) {
			must(t, os.RemoveAll(name(fx)))
			if info, err := os.Stat(name(of)); err == nil && info.IsDir() {
				must(t, os.CopyFS(name(fx), os.DirFS(name(of))))
				return
			}
			must(t, os.WriteFile(name(fx), read(t, name(of)), 0o600))
		}
	}
	batch7 := func(fx fixture) string { return fx.batch(fx.a, 7) }
	receipts := func(fx fixture) string { return fx.receipts(fx.a) }
	inLog := func(name string) func(fx fixture) string { return func(fx fixture) string { return fx.log(name) } }
	in := func(name string) func(fx fixture) string {
		return func(fx fixture) string { return filepath.Join(fx.dir, name) }
	}
	noWAL := func(fx fixture, name string) {
		os.Remove(filepath.Join(fx.dir, name+"-wal"))
		os.Remove(filepath.Join(fx.dir, name+"-shm"))
	}

	doc := read(t, "../../docs/reliability.md")
	for _, c := range []damaged{
		{"nothing", func(*testing.T, fixture) {}, "", nil, "", ""},
		{"a batch with a flipped bit", file(batch7, flip(-100)), seven, nil, "", seven},
		{"a batch cut in half", file(batch7, half), seven, nil, "", seven},
		{"a batch with a range of zeros", file(batch7, zero), seven, nil, "", seven},
		{"a batch that is empty", file(batch7, func([]byte) []byte { return nil }), seven, nil, "", seven},
		{"a batch deleted", remove(batch7), seven + " batch file is missing", nil, "batch files are missing", seven},
		{"two batches swapped", func(t *testing.T, fx fixture) {
			one, two := read(t, fx.batch(fx.a, 7)), read(t, fx.batch(fx.a, 8))
			edit(t, fx.batch(fx.a, 7), func([]byte) []byte { return two })
			edit(t, fx.batch(fx.a, 8), func([]byte) []byte { return one })
		}, seven, nil, "", seven},
		{"a batch copied to the next number", func(t *testing.T, fx fixture) {
			must(t, os.WriteFile(fx.batch(fx.a, chainLen+2), read(t, fx.batch(fx.a, 7)), 0o440))
		}, "", nil, "set aside", ""},
		{"a temporary file left behind", func(t *testing.T, fx fixture) {
			must(t, os.WriteFile(fx.batch(fx.a, chainLen+2)+".tmp", []byte("half"), 0o440))
		}, "", nil, "", ""},
		{"a receipt with a flipped bit", file(receipts, flip(-200)), "receipt", nil, "", "receipt"},
		{"receipts cut short", file(receipts, func(b []byte) []byte { return b[:len(b)-9] }), "receipt", archive.ErrOlder, "", ""},
		{"receipts deleted", remove(receipts), "receipt is missing", archive.ErrOlder, "", ""},
		{"receipts doubled", file(receipts, func(b []byte) []byte { return append(b, b...) }), "", nil, "", ""},
		{"receipts of yesterday", from(yesterday, receipts), last + " receipt is missing", archive.ErrOlder, "", ""},
		{"a restart that is garbage", func(t *testing.T, fx fixture) {
			must(t, os.WriteFile(strings.TrimSuffix(batch7(fx), ".tmb")+".tmr", []byte("garbage"), 0o440))
		}, fmt.Sprintf("%s/7", fx.a), nil, "", fmt.Sprintf("%s/7", fx.a)},
		{"the batches of yesterday", from(yesterday, in("batches")), "log entry", archive.ErrOlder, "", ""},
		{"log entries with a flipped bit", file(inLog(fmt.Sprintf("tile/entries/000.p/%d", chainLen+3)), flip(-1)), "log", nil, "", "log"},
		{"a log tile deleted", remove(inLog(fmt.Sprintf("tile/0/000.p/%d", chainLen+3))), "log", nil, "", "log"},
		{"a checkpoint with a flipped bit", file(inLog("checkpoint"), flip(3)), "checkpoint", tlog.ErrDamaged, "", ""},
		{"a checkpoint cut short", file(inLog("checkpoint"), func(b []byte) []byte { return b[:10] }), "checkpoint", tlog.ErrDamaged, "", ""},
		{"the checkpoint of another archive", from(other, inLog("checkpoint")), "checkpoint", tlog.ErrDamaged, "", ""},
		{"the checkpoint deleted", remove(inLog("checkpoint")), "checkpoint", tlog.ErrMissing, "", ""},
		{"the log's state emptied", file(inLog(".state/treeState"), func([]byte) []byte { return nil }), "log state", tlog.ErrDamaged, "", ""},
		{"the log's state of yesterday", from(yesterday, inLog(".state/treeState")), "log state", archive.ErrLogShort, "", ""},
		{"the log of yesterday", from(yesterday, in("log")), "is missing", archive.ErrLogShort, "", ""},
		{"the log deleted", remove(in("log")), "log", tlog.ErrMissing, "", ""},
		{"the index deleted", remove(in("index.db")), "index is missing", nil, "", ""},
		{"the index deleted and its write-ahead log left", func(t *testing.T, fx fixture) {
			must(t, os.WriteFile(filepath.Join(fx.dir, "index.db-wal"), bytes.Repeat([]byte{0x37}, 8192), 0o600))
			must(t, os.Remove(filepath.Join(fx.dir, "index.db")))
		}, "index is missing", nil, "", ""},
		{"an index that is no database", file(in("index.db"), func(b []byte) []byte { clear(b[:100]); return b }), "not a database", nil, "", ""},
		{"the index of yesterday", from(yesterday, in("index.db")), "", nil, "", ""},
		{"the index of another archive", from(other, in("index.db")), "index", nil, "making the index again", ""},
		{"the registry deleted", remove(in("state.db")), "devices:", registry.ErrMissing, "", ""},
		{"a registry that is no database", file(in("state.db"), func(b []byte) []byte { clear(b[:100]); return b }), "not a database", anyError, "", ""},
		{"the recipient's key of another archive", from(other, in("keys/recipient.pem")), "not an archive", archive.ErrNoArchive, "", ""},
		{"the log's key of another archive", from(other, in("keys/log.key")), "not an archive", archive.ErrNoArchive, "", ""},
		{"the receipt key cut short", file(in("keys/receipt.key"), half), "read key", anyError, "", ""},
		{"the receipt key deleted", remove(in("keys/receipt.key")), "", archive.ErrNoArchive, "", ""},
		{"the key document cut short", file(in("archive.json"), half), "read archive", anyError, "", ""},
		{"the key document deleted", remove(in("archive.json")), "not an archive", archive.ErrNoArchive, "", ""},
		{"the whole folder of yesterday", from(yesterday, func(fx fixture) string { return fx.dir }), "", nil, "", ""},
	} {
		if !bytes.Contains(doc, []byte("\n| "+c.name+" | ")) {
			t.Errorf("docs/reliability.md does not list %q", c.name)
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fx := fx.copied(t)
			for _, name := range []string{"index.db", "state.db"} {
				noWAL(fx, name)
			}
			c.harm(t, fx)
			found := func(when, want string) {
				t.Helper()
				r, err := audit.Verify(t.Context(), archive.Folder(fx.dir), audit.Options{})
				var faults []string
				if err != nil {
					faults = append(faults, err.Error())
				} else {
					for _, f := range r.Faults {
						faults = append(faults, f.String())
					}
				}
				if want == "" && len(faults) > 0 || want != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
					t.Errorf("verify %s: want %q, got %q", when, want, faults)
				}
			}
			found("at first", c.fault)

			var log logBuffer
			arch, err := archive.Open(context.Background(), fx.dir, archive.Options{
				Now: func() time.Time { return archivetest.Time }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if c.serve != nil {
				if err == nil {
					arch.Close()
				}
				if err == nil || c.serve != anyError && !errors.Is(err, c.serve) {
					t.Errorf("serve: %v, want %v", err, c.serve)
				}
				return
			}
			if err != nil {
				t.Fatalf("serve refuses: %v", err)
			}
			if c.log != "" && !strings.Contains(log.String(), c.log) {
				t.Errorf("serve does not say %q: %s", c.log, log.String())
			}
			next := fx.next
			if c.name == "the whole folder of yesterday" { // the device sends what that lacks again
				_, err := arch.Append(context.Background(), fx.a, []*seal.Batch{next})
				var head *archive.HeadError
				if !errors.As(err, &head) || head.Head.Seq != chainLen {
					t.Errorf("append: %v, want the older head", err)
				}
				next = fx.grown
			}
			_, aerr := arch.Append(context.Background(), fx.a, []*seal.Batch{next})
			if strings.HasPrefix(c.name, "a log tile") || strings.HasPrefix(c.name, "log entries") {
				aerr = nil // taken or not, verify says so
			}
			if err := errors.Join(aerr, arch.Close()); err != nil {
				t.Errorf("the lane does not go on: %v", err)
			}
			found("after serve", c.after)
		})
	}
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// grow appends the fixture's next batch and makes another.
func (fx *fixture) grow(t *testing.T) {
	t.Helper()
	arch, err := archive.Open(context.Background(), fx.dir, archive.Options{Now: func() time.Time { return archivetest.Time }})
	must(t, err)
	_, err = arch.Append(context.Background(), fx.a, []*seal.Batch{fx.next})
	must(t, errors.Join(err, arch.Close()))
	fx.grown, fx.next = fx.next, fx.device.Seal(seal.Messages, archivetest.Text(fx.a.Device, "c", 1000, "after that"))
}
