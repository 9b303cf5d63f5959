//go:build !windows

package archive_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tidemark/archive"
	"tidemark/archive/archivetest"
	"tidemark/seal"
	"tidemark/seal/protocol"
)

func benchArchive(b *testing.B) (*archive.Archive, *archivetest.Device) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "a")
	if _, err := archive.Init(b.Context(), dir, "archive.test", archivetest.Time); err != nil {
		b.Fatal(err)
	}
	a, err := archive.Open(context.Background(), dir, archive.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	keys, err := archive.Folder(dir).LoadKeys()
	if err != nil {
		b.Fatal(err)
	}
	d := archivetest.NewDevice(b, keys.Archive)
	token, err := a.Registry().NewToken(1, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	var e protocol.Enrollment
	protocol.SignEnrollment(&e, d.Identity, a.Key())
	if _, err := a.Enroll(token, &e); err != nil {
		b.Fatal(err)
	}
	return a, d
}

// BenchmarkAppendOne measures one new message: from the batch to its receipt.
func BenchmarkAppendOne(b *testing.B) {
	a, d := benchArchive(b)
	var took []time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		batch := d.Seal(seal.Messages, archivetest.Text(d.ID(), "c", n, fmt.Sprint(n)))
		b.StartTimer()
		start := time.Now()
		if _, err := a.Append(context.Background(), messages(d), []*seal.Batch{batch}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "ms/p50")
	b.ReportMetric(took[len(took)*95/100].Seconds()*1e3, "ms/p95")
}

// BenchmarkAppendHistory measures a history: batches of 4096 messages, in an
// archive that grows.
func BenchmarkAppendHistory(b *testing.B) {
	a, d := benchArchive(b)
	n := 0
	for b.Loop() {
		b.StopTimer()
		lines := make([][]byte, 4096)
		for i := range lines {
			n++
			lines[i] = archivetest.Text(d.ID(), fmt.Sprintf("%d@chatroom", n%200), n, fmt.Sprintf("明天上午十点在三楼会议室开会，请大家准时参加。 %d", n))
		}
		batch := d.Seal(seal.Messages, lines...)
		b.StartTimer()
		if _, err := a.Append(context.Background(), messages(d), []*seal.Batch{batch}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
