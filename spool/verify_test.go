package spool_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"tidemark/seal"
	"tidemark/spool"
)

// Looking at a spool changes nothing of it, is refused while one is open, and names
// the batch that is wrong; salvaging heals what verifying finds and nothing else.
func TestVerifyAndSalvage(t *testing.T) {
	v := newVictim(t)
	o := spool.Options{Identity: v.id, Archive: v.archive.Archive}
	told := int64(0)
	o.Progress = func(done, total int64) {
		if done < told || done > total {
			t.Errorf("progress went from %d to %d of %d", told, done, total)
		}
		told = done
	}
	i, err := spool.Verify(v.path, o)
	if err != nil || !i.Sound() || told == 0 {
		t.Fatalf("%+v, %v, told %d", i, err, told)
	}
	want := spool.LaneInspection{Batches: 10, Records: 10, First: 5, Last: 14, Head: 14, Receipt: 4, Oldest: v.batches[0].Sealed}
	for _, b := range v.batches {
		want.Bytes += int64(len(b.Raw))
	}
	if i.Lanes["messages"] != want || i.Format != 2 || i.Kept.IsZero() {
		t.Errorf("inspection %+v", i)
	}
	told = 0
	if r, err := spool.Salvage(v.path, o); r != nil || err != nil {
		t.Errorf("a sound spool was salvaged: %+v, %v", r, err)
	}
	if !bytes.Equal(v.readFile(v.path), v.raw) {
		t.Error("looking changed the file")
	}

	v.open()
	for name, look := range map[string]func() error{
		"inspect": func() error { _, err := spool.Inspect(v.path); return err },
		"verify":  func() error { _, err := spool.Verify(v.path, o); return err },
		"salvage": func() error { _, err := spool.Salvage(v.path, o); return err },
	} {
		if err := look(); !errors.Is(err, spool.ErrLocked) {
			t.Errorf("%s beside an open spool: %v", name, err)
		}
	}
	v.s.Close()

	if err := os.WriteFile(v.path, v.spoil(bytes.Clone(v.raw), 8, 200), 0o600); err != nil {
		t.Fatal(err)
	}
	if i, err := spool.Inspect(v.path); err != nil || !i.Sound() {
		t.Errorf("inspecting reads batches: %+v, %v", i, err)
	}
	told = 0
	i, err = spool.Verify(v.path, o)
	if err != nil || i.Sound() || len(i.Faults) != 1 || !strings.Contains(i.Faults[0], "messages/8") {
		t.Fatalf("%+v, %v", i, err)
	}
	o.Progress = nil // it verifies, then salvages: two works
	r, err := spool.Salvage(v.path, o)
	if err != nil || r == nil || r.Lanes["messages"].Batches != 9 || r.Lanes["messages"].Missing != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if i, err = spool.Verify(v.path, o); err != nil || !i.Sound() || len(i.Aside) != 1 {
		t.Errorf("after the salvage: %+v, %v", i, err)
	}
	v.open()
	if st, _ := v.s.Stats(); st.Lanes["messages"].Batches != 9 {
		t.Errorf("stats %+v", st)
	}
	if r, err := v.s.Restart(seal.Messages, 9); r == nil || err != nil {
		t.Errorf("nothing introduces batch 9: %v", err)
	}
}
