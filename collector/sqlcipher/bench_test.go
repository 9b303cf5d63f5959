package sqlcipher

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// benchMessages is how large a history the scan reads; 2000000 is about 1.1 GB.
func benchMessages() string { return cmp.Or(os.Getenv("TIDEMARK_BENCH_MESSAGES"), "200000") }

// BenchmarkScan reads all columns of all messages of a database that real SQLCipher
// wrote, one goroutine against two.
func BenchmarkScan(b *testing.B) {
	a := madeAccount(b, benchMessages())
	db := openDB(b, a.message0(), Options{Keys: give(a.key(b))})
	if err := db.Check(b.Context()); err != nil { // derive the key before the clock runs
		b.Fatal(err)
	}
	for _, n := range []int{1, 2} {
		b.Run("goroutines="+itoa(n), func(b *testing.B) {
			rows := 0
			for b.Loop() {
				got, err := scanAll(context.Background(), db, n)
				if err != nil {
					b.Fatal(err)
				}
				rows += got
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkNewMessage is what one more message costs, from the poll that notices it
// to its columns in memory, in databases of different sizes. The message is written
// by another process while the clock stands still.
func BenchmarkNewMessage(b *testing.B) {
	for _, messages := range []string{"20000", benchMessages()} {
		b.Run("messages="+messages, func(b *testing.B) {
			a := madeAccount(b, messages)
			db := openDB(b, a.message0(), Options{Keys: give(a.key(b))})
			sequence := map[string]int{}
			var mark Mark
			// look reads what is new by the highest ids per table.
			look := func() (rows int, err error) {
				err = db.View(context.Background(), func(v *View) error {
					mark = v.Commit()
					seq, err := v.Prepare("SELECT name, seq FROM sqlite_sequence")
					if err != nil {
						return err
					}
					for seq.Step() {
						name, now := seq.ColumnText(0), seq.ColumnInt(1)
						before, known := sequence[name]
						sequence[name] = now
						if !known || now == before {
							continue
						}
						stmt, err := v.Prepare("SELECT * FROM " + sqlite3.QuoteIdentifier(name) + " WHERE local_id > ?")
						if err != nil {
							return err
						}
						if err := stmt.BindInt(1, before); err != nil {
							return err
						}
						dest := make([]any, stmt.ColumnCount())
						for stmt.Step() {
							if err := stmt.ColumnsRaw(dest...); err != nil {
								return err
							}
							rows++
						}
					}
					return seq.Err()
				})
				return rows, err
			}
			if _, err := look(); err != nil {
				b.Fatal(err)
			}
			var read, pages uint64
			rows := 0
			for b.Loop() {
				b.StopTimer()
				args := a.args("chat", "--count", "1", "--rate", "0", "--checkpoint", "never", "--recall", "0")
				if out, err := exec.Command(simulator(b), args...).CombinedOutput(); err != nil {
					b.Fatalf("chat: %v\n%s", err, out)
				}
				before := db.Counters()
				b.StartTimer()
				changed, err := db.Changed(context.Background(), mark)
				if err != nil || !changed {
					b.Fatalf("changed %t: %v", changed, err)
				}
				n, err := look()
				if err != nil {
					b.Fatal(err)
				}
				rows += n
				after := db.Counters()
				read += after.MainBytes + after.WALBytes - before.MainBytes - before.WALBytes
				pages += after.Pages - before.Pages
			}
			if rows != b.N {
				b.Errorf("%d rows for %d messages", rows, b.N)
			}
			b.ReportMetric(float64(read)/float64(b.N), "bytes/message")
			b.ReportMetric(float64(pages)/float64(b.N), "pages/message")
		})
	}
}

// BenchmarkIdlePoll is what looking costs when nothing was committed.
func BenchmarkIdlePoll(b *testing.B) {
	a := madeAccount(b, "20000")
	db := openDB(b, a.message0(), Options{Keys: give(a.key(b))})
	var mark Mark
	if err := db.View(b.Context(), func(v *View) error { mark = v.Commit(); return nil }); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if changed, err := db.Changed(context.Background(), mark); err != nil || changed {
			b.Fatalf("changed %t: %v", changed, err)
		}
	}
}
