//go:build !windows

package audit_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/archive"
	"tidemark/archive/audit"
	"tidemark/seal"
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
