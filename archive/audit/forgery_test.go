//go:build !windows

package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/audit"
	"tidemark/archive/store"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/seal/sealtest"
)

// Every field that docs/format.md gives to a batch, a key header, a receipt or a log
// entry is altered in turn where the archive keeps it, and verify says so, at its place.
func TestForged(t *testing.T) {
	fx := template(t, chainLen)
	type forgery struct {
		name, file string // below the archive's folder
		offset     int
		want       string // in one of the faults
	}
	var all []forgery
	add := func(what, file string, f sealtest.Field, base int, want string) {
		for _, at := range slices.Compact([]int{f.Start, f.End - 1}) {
			all = append(all, forgery{fmt.Sprintf("%s, %s, byte %d", what, f.Name, at-f.Start), file, base + at, want})
		}
	}
	rel := func(name string) string {
		r, err := filepath.Rel(fx.dir, name)
		must(t, err)
		return r
	}

	for _, seq := range []uint64{rotateAt, chainLen} { // with and without a key header
		file := fx.batch(fx.a, seq)
		b, err := seal.ParseBatch(read(t, file))
		must(t, err)
		where := fmt.Sprintf("%s/%d:", fx.a, seq)
		for _, f := range sealtest.Fields(t, "## Batches", 0, len(b.Raw), map[string]int{"k": len(b.KeyHeader), "p": len(b.Payload)}) {
			if f.Start < f.End {
				add(fmt.Sprintf("batch %d", seq), rel(file), f, 0, where)
			}
		}
		if b.KeyHeader == nil {
			continue
		}
		start := len(b.Raw) - len(b.Payload) - len(b.KeyHeader)
		for _, f := range sealtest.Fields(t, "## Data keys and key headers", 0, 32, nil) {
			add("key header", rel(file), f, start, where)
		}
		size := len(b.KeyHeader) - 32
		for _, f := range sealtest.Fields(t, "## Data keys and key headers", 1, size, map[string]int{"e": size - 68}) {
			add("key header's recipient", rel(file), f, start+32, where)
		}
	}

	receipts := string(read(t, fx.receipts(fx.b)))
	note := receipts[:strings.Index(receipts[1:], "tidemark/receipt/")+1]
	lines := sealtest.Lines(t, "## Receipts", note)
	for _, f := range append(lines, sealtest.Field{Name: "signature", Start: strings.Index(note, "— "), End: len(note)}) {
		add("receipt", rel(fx.receipts(fx.b)), f, 0, "receipt")
	}

	entries := fx.log(fmt.Sprintf("tile/entries/000.p/%d", chainLen+2))
	data := read(t, entries)
	for _, seq := range []uint64{1, chainLen} {
		b, err := seal.ParseBatch(read(t, fx.batch(fx.a, seq)))
		must(t, err)
		start := bytes.Index(data, b.LogEntry())
		if start < 0 {
			t.Fatalf("the log has no entry of batch %d", seq)
		}
		for _, f := range sealtest.Lines(t, "## Log entries", string(b.LogEntry())) {
			add(fmt.Sprintf("log entry %d", seq), rel(entries), f, start, "log")
		}
	}

	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fx := fx.copied(t)
			edit(t, filepath.Join(fx.dir, c.file), flip(c.offset))
			r, err := audit.Verify(t.Context(), archive.Folder(fx.dir), audit.Options{})
			must(t, err)
			if !slices.ContainsFunc(r.Faults, func(f audit.Fault) bool { return strings.Contains(f.String(), c.want) }) {
				t.Errorf("no fault has %q in it: %v", c.want, r.Faults)
			}
		})
	}
}

// Every field of a restart that the archive keeps is altered in turn, and verify says so
// at the batch that it introduces.
func TestForgedRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	_, err := archive.Init(t.Context(), dir, "archive.test", archivetest.Time)
	must(t, err)
	arch, err := archive.Open(t.Context(), dir, archive.Options{Now: func() time.Time { return archivetest.Time }})
	must(t, err)
	keys, err := archive.Folder(dir).LoadKeys()
	must(t, err)
	d := archivetest.NewDevice(t, keys.Archive)
	token, err := arch.Registry().NewToken(1, archivetest.Time, archivetest.Time.Add(time.Hour))
	must(t, err)
	var e protocol.Enrollment
	protocol.SignEnrollment(&e, d.Identity, arch.Key())
	_, err = arch.Enroll(token, &e)
	must(t, err)
	lane := store.Lane{Device: d.ID(), Lane: seal.Messages}
	_, err = arch.Append(t.Context(), lane, []*seal.Batch{d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 1, "one"))})
	must(t, err)
	d.Rotate(seal.Messages)
	restart := d.Lose(seal.Messages, 3, true)
	after := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", 5, "five"))
	notes, err := arch.Append(t.Context(), lane, []*seal.Batch{after}, restart)
	must(t, err)
	if len(notes) != 1 {
		t.Fatalf("%d receipts", len(notes))
	}
	must(t, arch.Close())
	fx := fixture{dir: dir, a: lane}
	if r := verify(t, fx); len(r.Faults) > 0 || len(r.Holes) != 1 {
		t.Fatalf("unaltered: %+v", r)
	}
	name := strings.TrimSuffix(fx.batch(lane, after.Seq), ".tmb") + ".tmr"
	if !bytes.Equal(read(t, name), restart.Raw) {
		t.Fatalf("%s is not the restart", name)
	}
	want := fmt.Sprintf("%s/%d:", lane, after.Seq)
	for _, f := range sealtest.Fields(t, "## Restarts", 0, len(restart.Raw), nil) {
		for _, at := range slices.Compact([]int{f.Start, f.End - 1}) {
			t.Run(fmt.Sprintf("%s, byte %d", f.Name, at-f.Start), func(t *testing.T) {
				t.Parallel()
				fx := fx.copied(t)
				edit(t, filepath.Join(fx.dir, strings.TrimPrefix(name, dir)), flip(at))
				if r := verify(t, fx); !slices.ContainsFunc(r.Faults, func(f audit.Fault) bool { return strings.HasPrefix(f.String(), want) }) {
					t.Errorf("no fault is at %s %v", want, r.Faults)
				}
			})
		}
	}
}

// An archive whose succession was altered, in any byte of the documents or of their notes,
// is refused: verify does not trust keys that do not follow from the first.
func TestForgedSuccession(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	_, err := archive.Init(t.Context(), dir, "archive.test", archivetest.Time)
	must(t, err)
	f := archive.Folder(dir)
	_, err = f.ChangeKeys(t.Context(), archive.Change{NewKeys: true}, archivetest.Time)
	must(t, err)
	good := read(t, f.Succession())
	var form protocol.Succession
	must(t, json.Unmarshal(good, &form))
	refused := func(what string, change func(links []seal.Link)) {
		t.Helper()
		var altered protocol.Succession
		must(t, json.Unmarshal(good, &altered))
		change(altered.Succession)
		data, err := json.Marshal(altered)
		must(t, err)
		must(t, os.WriteFile(f.Succession(), data, 0o644))
		if _, err := audit.Verify(t.Context(), f, audit.Options{}); err == nil {
			t.Errorf("%s: verify trusts it", what)
		}
	}
	note := form.Succession[1].Note
	for _, field := range append(sealtest.Lines(t, "## Succession of key documents", note), sealtest.Field{Name: "signature", Start: strings.Index(note, "— "), End: len(note)}) {
		for i := field.Start; i < field.End; i++ {
			refused(field.Name, func(links []seal.Link) { links[1].Note = string(flip(i)([]byte(note))) })
		}
	}
	for n := range form.Succession {
		doc := form.Succession[n].Document
		for i := 0; i < len(doc); i += 37 {
			refused(fmt.Sprintf("document %d, byte %d", n, i), func(links []seal.Link) { links[n].Document = string(flip(i)([]byte(doc))) })
		}
	}
	must(t, os.WriteFile(f.Succession(), good, 0o644))
	if r, err := audit.Verify(t.Context(), f, audit.Options{}); err != nil || len(r.Faults) > 0 || len(r.Before) != 1 {
		t.Errorf("unaltered: %+v %v", r, err)
	}
}
