package sqlcipher

import (
	"cmp"
	"context"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"tidemark/collector/simtest"
)

// benchMessages is how large a history the scan reads; 2000000 is about 1.1 GB.
func benchMessages(b *testing.B) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("TIDEMARK_BENCH_MESSAGES"), "200000"))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// made opens the message database of an account with a history of n messages.
func made(b *testing.B, n int) (*simtest.World, *DB) {
	b.Helper()
	w := simtest.New(b)
	w.Make(n, 200)
	return w, openDB(b, w.DB(message0), Options{Keys: give(accountKey(b, w))})
}

// BenchmarkScan reads all columns of all messages of a database that real SQLCipher
// wrote, one goroutine against two.
func BenchmarkScan(b *testing.B) {
	_, db := made(b, benchMessages(b))
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
	for _, messages := range []int{20_000, benchMessages(b)} {
		b.Run("messages="+itoa(messages), func(b *testing.B) {
			w, db := made(b, messages)
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
				w.Chat("--count", "1", "--rate", "0", "--checkpoint", "never", "--recall", "0").Wait()
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
	_, db := made(b, 20_000)
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

// scanTable reads every column of every row.
func scanTable(v *View, table string) (rows int, err error) {
	stmt, err := v.Prepare("SELECT * FROM " + sqlite3.QuoteIdentifier(table))
	if err != nil {
		return 0, err
	}
	dest := make([]any, stmt.ColumnCount())
	for stmt.Step() {
		if err := stmt.ColumnsRaw(dest...); err != nil {
			return rows, err
		}
		rows++
	}
	return rows, stmt.Err()
}

// scanAll reads all message tables with n goroutines and returns the rows.
func scanAll(ctx context.Context, db *DB, n int) (int, error) {
	var names []string
	err := db.View(ctx, func(v *View) (err error) {
		names, err = tables(v)
		return err
	})
	if err != nil {
		return 0, err
	}
	work := make(chan string, len(names))
	for _, t := range names {
		work <- t
	}
	close(work)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int
		first error
	)
	for range n {
		wg.Go(func() {
			err := db.View(ctx, func(v *View) error {
				for t := range work {
					rows, err := scanTable(v, t)
					if err != nil {
						return err
					}
					mu.Lock()
					total += rows
					mu.Unlock()
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return total, first
}
