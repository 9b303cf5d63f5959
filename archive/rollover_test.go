//go:build !windows

package archive_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/index"
	"tidemark/seal"
)

// change changes the archive's keys while it is closed.
func (w *world) change(c archive.Change) seal.ArchiveKey {
	w.t.Helper()
	w.close()
	key, err := archive.Folder(w.dir).ChangeKeys(w.t.Context(), c, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.open()
	return key
}

// An archive with new keys goes on with what it has: it gives receipts for old batches
// again, takes batches that were sealed for the old keys, reads them all, and whoever
// pinned an old key follows to the new one.
func TestRollover(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	pinned := w.identity()
	one := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one"))
	before := w.append(d, one)[0]

	key := w.change(archive.Change{NewKeys: true})
	if w.a.Key() != key || key == pinned.Key || w.identity().Key != key {
		t.Fatalf("the archive's key is %s, %s was made", w.a.Key(), key)
	}
	w.append(d, one)
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "sealed for the old key")))

	a, err := pinned.Follow(w.a.Succession(), w.now)
	if err != nil || a.Key != key {
		t.Fatalf("followed to %v, %v", a, err)
	}
	if r, err := seal.OpenReceipt(before, a.ReceiptVerifier()); err != nil || r.Covers(one) != nil {
		t.Errorf("a receipt of before: %v", err)
	}
	w.change(archive.Change{NewKeys: true}) // and once more
	other := w.device()
	w.append(other, other.Seal(seal.Messages, archivetest.Text(other.ID(), "c", 3, "sealed for the new key")))
	if got := w.texts(index.Query{}); len(got) != 3 {
		t.Errorf("records %q", got)
	}
	w.wantSound(3, 3)
	for _, name := range []string{"index.db", "index.db-wal", "index.db-shm"} {
		w.close()
		os.Remove(filepath.Join(w.dir, name))
	}
	w.open() // the index from the batches, under three receipt keys and recipients
	w.wantSound(3, 3)

	keys, err := filepath.Glob(filepath.Join(w.dir, "keys", "receipt*"))
	if err != nil || len(keys) != 1 {
		t.Errorf("receipt keys that are replaced are still there: %v", keys)
	}
	w.close()
	if _, err := archive.Folder(w.dir).ChangeKeys(t.Context(), archive.Change{}, w.now); !errors.Is(err, archive.ErrUnchanged) {
		t.Errorf("no change: %v", err)
	}
}

// A second recipient, made elsewhere and kept offline, opens what is sealed from then
// on, from the beginning when it is named at init, and is kept when keys are replaced.
func TestOfflineRecipient(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "offline.pem")
	offline, err := archive.NewOfflineRecipient(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := archive.NewOfflineRecipient(file); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another key: %v", err)
	}

	w := &world{t: t, dir: filepath.Join(t.TempDir(), "a"), now: archivetest.Time.Add(time.Minute)}
	if _, err := archive.Init(t.Context(), w.dir, "archive.test", w.now, offline); err != nil {
		t.Fatal(err)
	}
	w.open()
	t.Cleanup(w.close)
	own := w.identity().Document.Recipients[0].ID
	w.change(archive.Change{NewKeys: true})
	w.change(archive.Change{Remove: []string{offline.ID}})
	w.change(archive.Change{Add: []seal.RecipientKey{offline}})
	doc := w.identity().Document
	if len(doc.Recipients) != 2 || doc.Recipients[0].ID == own || doc.Recipients[1].ID != offline.ID {
		t.Fatalf("recipients %+v", doc.Recipients)
	}
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "x")))

	// The archive's own keys are lost; with the offline one all is read again.
	w.close()
	names, err := filepath.Glob(filepath.Join(w.dir, "keys", "recipient*"))
	if err != nil || len(names) != 2 {
		t.Fatalf("recipient keys %v", names)
	}
	for _, n := range names {
		must(t, os.Remove(n))
	}
	if !w.verify().Blind {
		t.Fatal("the archive is not blind")
	}
	data, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "keys", "recipient-offline.pem"), data, 0o600))
	if r := w.verify(); r.Blind || len(r.Faults) > 0 {
		t.Errorf("%+v", r)
	}

	folder := archive.Folder(w.dir)
	bad := offline
	bad.ID = "00000000000000000000000000000000"
	for what, c := range map[string]archive.Change{
		"twice":               {Add: []seal.RecipientKey{offline}},
		"not named by itself": {Add: []seal.RecipientKey{bad}},
		"unknown":             {Remove: []string{"ff"}},
		"the last one gone":   {Remove: []string{doc.Recipients[0].ID, doc.Recipients[1].ID}},
	} {
		if _, err := folder.ChangeKeys(t.Context(), c, w.now); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	if k, err := folder.LoadKeys(); err != nil || len(k.Chain) != 4 {
		t.Errorf("a refused change left its traces: %v", err)
	}
}

// While a server runs the keys are not changed under it, and what an attempt that was cut
// short leaves behind changes nothing.
func TestRolloverHeldOrCutShort(t *testing.T) {
	w := newWorld(t)
	folder := archive.Folder(w.dir)
	if _, err := folder.ChangeKeys(t.Context(), archive.Change{NewKeys: true}, w.now); !errors.Is(err, archive.ErrHeld) {
		t.Errorf("beside a server: %v", err)
	}
	was := w.identity().Key
	w.close()
	other := filepath.Join(t.TempDir(), "b")
	_, err := archive.Init(t.Context(), other, "archive.test", w.now)
	must(t, err)
	_, err = archive.Folder(other).ChangeKeys(t.Context(), archive.Change{NewKeys: true}, w.now)
	must(t, err)
	for _, pattern := range []string{"recipient-*.pem", "receipt-*.key"} { // as before the commit point
		names, err := filepath.Glob(filepath.Join(other, "keys", pattern))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		data, err := os.ReadFile(names[0])
		must(t, err)
		must(t, os.WriteFile(filepath.Join(w.dir, "keys", filepath.Base(names[0])), data, 0o600))
	}
	w.open()
	if w.identity().Key != was {
		t.Error("the key is another")
	}
	d := w.device()
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "x")))
	w.close()

	// Behind the commit point: the document and the old receipt key are still there.
	doc, err := os.ReadFile(folder.Document())
	must(t, err)
	receipt, err := os.ReadFile(filepath.Join(w.dir, "keys", "receipt.key"))
	must(t, err)
	key, err := folder.ChangeKeys(t.Context(), archive.Change{NewKeys: true}, w.now)
	must(t, err)
	must(t, os.WriteFile(folder.Document(), doc, 0o644))
	must(t, os.WriteFile(filepath.Join(w.dir, "keys", "receipt.key"), receipt, 0o600))
	w.open()
	if w.a.Key() != key {
		t.Error("the new key is not in force")
	}
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 2, "y")))
	w.wantSound(2, 2)

	// A succession of another archive is noticed.
	w.close()
	data, err := os.ReadFile(archive.Folder(other).Succession())
	must(t, err)
	must(t, os.WriteFile(folder.Succession(), data, 0o644))
	if _, err := folder.LoadKeys(); !errors.Is(err, archive.ErrNoArchive) {
		t.Errorf("another archive's succession: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
