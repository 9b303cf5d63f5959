//go:build !windows

package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/index"
	"tidemark/archive/store"
	"tidemark/archive/tlog"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func TestMain(m *testing.M) {
	tlog.LogTo(slog.New(slog.DiscardHandler))
	if dir := os.Getenv(crashDir); dir != "" {
		crash(dir)
	}
	os.Exit(m.Run())
}

// world is an archive on disk, open or not.
type world struct {
	t   *testing.T
	dir string
	a   *archive.Archive
	now time.Time // the archive's clock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, "a")
}

func newWorldIn(t *testing.T, folder string) *world {
	t.Helper()
	t.Parallel() // each has its own folder, and closing one waits for a checkpoint
	w := &world{t: t, dir: filepath.Join(t.TempDir(), folder), now: archivetest.Time.Add(time.Minute)}
	if _, err := archive.Init(t.Context(), w.dir, "archive.test", w.now); err != nil {
		t.Fatal(err)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *world) options() archive.Options {
	return archive.Options{
		Now:    func() time.Time { return w.now },
		Logger: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	}
}

func (w *world) open() {
	w.t.Helper()
	a, err := archive.Open(context.Background(), w.dir, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.a = a
}

// openFailing opens the archive so that commit fails once at the step, before or
// after it took effect.
func (w *world) openFailing(step string, landed bool, err error) {
	w.t.Helper()
	done := false
	a, oerr := archive.OpenHooked(context.Background(), w.dir, w.options(), func(s string, l bool) error {
		if s == step && l == landed && !done {
			done = true
			return err
		}
		return nil
	})
	if oerr != nil {
		w.t.Fatal(oerr)
	}
	w.a = a
}

func (w *world) close() {
	w.t.Helper()
	if w.a == nil {
		return
	}
	if err := w.a.Close(); err != nil {
		w.t.Error(err)
	}
	w.a = nil
}

func (w *world) restart() {
	w.t.Helper()
	w.close()
	w.open()
}

func (w *world) identity() *seal.Archive {
	w.t.Helper()
	k, err := archive.Folder(w.dir).LoadKeys()
	if err != nil {
		w.t.Fatal(err)
	}
	return k.Archive
}

// device enrols a new device.
func (w *world) device() *archivetest.Device {
	w.t.Helper()
	d := archivetest.NewDevice(w.t, w.identity())
	token, err := w.a.Registry().NewToken(1, w.now, w.now.Add(time.Hour))
	if err != nil {
		w.t.Fatal(err)
	}
	e := protocol.Enrollment{Hostname: "laptop", OS: "windows", Arch: "amd64", Version: "1"}
	protocol.SignEnrollment(&e, d.Identity, w.a.Key())
	if _, err := w.a.Enroll(token, &e); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func messages(d *archivetest.Device) store.Lane {
	return store.Lane{Device: d.ID(), Lane: seal.Messages}
}

// append adds batches to the messages lane and checks that each has a receipt
// that covers it.
func (w *world) append(d *archivetest.Device, batches ...*seal.Batch) [][]byte {
	w.t.Helper()
	notes, err := w.a.Append(context.Background(), messages(d), batches)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(notes) != len(batches) {
		w.t.Fatalf("%d receipts for %d batches", len(notes), len(batches))
	}
	for i, n := range notes {
		r, err := seal.OpenReceipt(n, w.identity().ReceiptVerifier())
		if err == nil {
			err = r.Covers(batches[i])
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return notes
}

// export returns what `records` prints.
func (w *world) export(q index.Query) string {
	w.t.Helper()
	var out bytes.Buffer
	if err := archive.Export(context.Background(), archive.Folder(w.dir), q, &out); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

// archived is what tests look at of an exported record.
type archived struct {
	ID      string
	Text    string
	Archive struct {
		ReceivedAt time.Time `json:"received_at"`
		Batch      struct {
			Device, Lane, Hash string
			Seq                uint64
		}
		Log     uint64
		Variant bool
	}
}

func (w *world) records(q index.Query) []archived {
	w.t.Helper()
	var out []archived
	dec := json.NewDecoder(bytes.NewReader([]byte(w.export(q))))
	for dec.More() {
		var r archived
		if err := dec.Decode(&r); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func (w *world) texts(q index.Query) []string {
	w.t.Helper()
	var out []string
	for _, r := range w.records(q) {
		out = append(out, r.Text)
	}
	return out
}

func (w *world) verify() *audit.Report {
	w.t.Helper()
	r, err := audit.Verify(context.Background(), archive.Folder(w.dir), audit.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// wantSound fails the test when verify finds anything, or not that many batches,
// log entries and records.
func (w *world) wantSound(batches int64, records int) {
	w.t.Helper()
	r := w.verify()
	for _, f := range r.Faults {
		w.t.Errorf("verify: %s", f)
	}
	if r.Batches != batches || r.Entries != uint64(batches) || r.Pending != 0 {
		w.t.Errorf("verify saw %d batches, %d log entries, %d pending; want %d of the first two", r.Batches, r.Entries, r.Pending, batches)
	}
	if got := len(w.records(index.Query{})); got != records {
		w.t.Errorf("%d records, want %d", got, records)
	}
}

func laneOf(b *seal.Batch) store.Lane { return store.Lane{Device: b.Device, Lane: b.Lane} }
