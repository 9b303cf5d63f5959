//go:build !windows

package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/archive/index"
	"tidemark/archive/store"
	"tidemark/record"
	"tidemark/seal"
)

func (w *world) media(d *archivetest.Device, batches ...*seal.Batch) {
	w.t.Helper()
	if notes, err := w.a.Append(context.Background(), store.Lane{Device: d.ID(), Lane: seal.Media}, batches); err != nil || len(notes) != len(batches) {
		w.t.Fatalf("%d receipts for %d batches: %v", len(notes), len(batches), err)
	}
}

// copy puts a content together, as the command does.
func (w *world) copy(sum string) ([]byte, error) {
	w.t.Helper()
	m, err := archive.Folder(w.dir).OpenMedia()
	if err != nil {
		w.t.Fatal(err)
	}
	defer m.Close()
	var out bytes.Buffer
	err = m.Copy(context.Background(), sum, &out, func() error { out.Reset(); return nil })
	return out.Bytes(), err
}

// A content comes back whole and only with its hash: from pieces in one batch or
// several, that arrived twice or from two devices, and from the honest one of two.
func TestMedia(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	data := bytes.Repeat([]byte("tide and mark, "), 1000)
	lines, sum := archivetest.Pieces(d.ID(), data, 4000)
	if _, err := w.copy(sum); !errors.Is(err, archive.ErrNoContent) {
		t.Errorf("nothing is here: %v", err)
	}
	w.append(d, d.Seal(seal.Messages, archivetest.Text(d.ID(), "123@chatroom", 1, "see"),
		archivetest.Medium(d.ID(), "123@chatroom", 1, record.Media{Role: record.RoleOriginal, State: record.MediaPending})))
	w.media(d, d.Seal(seal.Media, lines[0], lines[1]), d.Seal(seal.Media, lines[3]))
	if _, err := w.copy(sum); !errors.Is(err, archive.ErrPartly) {
		t.Errorf("a piece is missing: %v", err)
	}
	w.media(d, d.Seal(seal.Media, lines[1], lines[2]))
	w.append(d, d.Seal(seal.Messages,
		archivetest.Medium(d.ID(), "123@chatroom", 1, record.Media{Role: record.RoleOriginal, State: record.MediaCaptured, SHA256: sum, MIME: "text/plain", Name: "t.txt"})))
	if got, err := w.copy(sum); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes: %v", len(got), err)
	}

	list, err := archive.Media(t.Context(), archive.Folder(w.dir))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	want := archive.Medium{SHA256: sum, Size: int64(len(data)), Held: int64(len(data)), MIME: "text/plain", Name: "t.txt",
		Messages: []string{record.MessageID("wxid_me", "123@chatroom", "7613000000000000001")}}
	if got := list[0]; got.SHA256 != want.SHA256 || got.Size != want.Size || got.Held != want.Held || got.MIME != want.MIME ||
		got.Name != want.Name || len(got.Messages) != 1 || got.Messages[0] != want.Messages[0] {
		t.Errorf("listed as %+v", got)
	}

	// Pieces are bulk: records leaves them out, and shows them without their data.
	if got := w.export(index.Query{}); strings.Contains(got, `"piece"`) || strings.Count(got, "\n") != 3 {
		t.Errorf("records shows\n%s", got)
	}
	if got := w.export(index.Query{Pieces: true}); strings.Count(got, `"length":`) != 4 || strings.Contains(got, `"data":`) {
		t.Errorf("records with pieces shows\n%s", got)
	}
	for _, f := range w.verify().Faults {
		t.Errorf("verify: %s", f)
	}
	w.restart()
	if got, err := w.copy(sum); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after a restart %d bytes: %v", len(got), err)
	}
}

// A device that sends something else under a content's name cannot take its place,
// whoever came first.
func TestMediaForged(t *testing.T) {
	w := newWorld(t)
	bad, good := w.device(), w.device()
	data := bytes.Repeat([]byte("true"), 1000)
	lines, sum := archivetest.Pieces(good.ID(), data, 1024)
	lies, _ := archivetest.Pieces(bad.ID(), bytes.Repeat([]byte("lies"), 1000), 1024)
	for i := range lies {
		r, err := record.Parse(lies[i])
		if err != nil {
			t.Fatal(err)
		}
		r.ID, r.Piece.SHA256 = record.PieceID("wxid_me", sum, r.Piece.Offset), sum
		lies[i] = r.AppendJSON(nil)
	}
	w.media(bad, bad.Seal(seal.Media, lies...))
	if _, err := w.copy(sum); !errors.Is(err, seal.ErrForged) {
		t.Errorf("lies alone: %v", err)
	}
	w.media(good, good.Seal(seal.Media, lines...))
	if got, err := w.copy(sum); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}

// Without the recipient key contents are there and cannot be read.
func TestMediaBlind(t *testing.T) {
	w := newWorld(t)
	if err := os.Remove(filepath.Join(w.dir, "keys", "recipient.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Folder(w.dir).OpenMedia(); !errors.Is(err, archive.ErrBlind) {
		t.Errorf("got %v", err)
	}
}

// Memory does not grow with a content: many times what is held comes through.
func TestMediaStreams(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	data := make([]byte, 6<<20)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	lines, sum := archivetest.Pieces(d.ID(), data, 1<<20)
	for _, l := range lines {
		w.media(d, d.Seal(seal.Media, l))
	}
	m, err := archive.Folder(w.dir).OpenMedia()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	largest := 0
	h := sha256.New()
	err = m.Copy(t.Context(), sum, io.MultiWriter(h, writerFunc(func(b []byte) { largest = max(largest, len(b)) })), nil)
	if err != nil || hex.EncodeToString(h.Sum(nil)) != sum || largest > 1<<20 {
		t.Errorf("largest write %d: %v", largest, err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }
