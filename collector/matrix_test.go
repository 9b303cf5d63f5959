package collector_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidemark/collector"
	"tidemark/collector/keys"
	"tidemark/collector/media"
	"tidemark/collector/simtest"
	"tidemark/record"
)

// What may become of a message, in the order of the matrix's columns.
var becomes = []string{"captured", "files", "server_id", "recalled", "deleted", "file", "status", "content"}

// generations are the matrix's marks.
var generations = []struct {
	g    simtest.Generation
	mark string
}{{simtest.V4, "4"}, {simtest.W3, "W"}, {simtest.M3, "M"}}

// Of every generation, every kind of message is captured from a live client with its
// files, and so is what becomes of it: oracle and archive agree record by record, files
// by hash. The matrix of what was judged is the one of docs/coverage.md;
// TIDEMARK_UPDATE=1 writes it there.
func TestEveryKindOfEveryGeneration(t *testing.T) {
	proven := map[string]map[string]string{} // kind, column -> marks
	for _, gen := range generations {
		t.Run(string(gen.g), func(t *testing.T) {
			w := simtest.NewOf(t, gen.g)
			d := newDevice(t, w)
			source := keys.NewFile(w.Keys)
			d.options.Keys = source
			d.options.ImageKeys = func(ctx context.Context, account string) (out media.Keys, err error) {
				given, err := source.ImageKeys(ctx, account)
				for _, k := range given {
					out.AES = append(out.AES, k.Candidates()...)
				}
				return out, err
			}
			chat := w.Chat("--kinds", "all", "--fates", "--count", "800", "--rate", "25", "--recall", "0", "--recall-after", "40s", "--checkpoint-after", "2s")
			w.Ready(t.Context())
			stop := d.running()
			chat.Wait()
			stop()
			s := d.once()
			for _, db := range s.Accounts[0].Databases {
				// Two kinds among the messages are of numbers that nobody knows.
				if unknown := db.File == "message types"; unknown != (db.State == collector.StateUnfamiliar) || !unknown && db.State.Severity() != record.SeverityInfo {
					t.Errorf("%s: %s %s", db.File, db.State, db.Detail)
				}
			}
			d.compare()
			for kind, cells := range w.Matrix(d.recordsFile()) {
				for column, cell := range cells {
					if cell.Faulty > 0 {
						t.Errorf("%s, %s: %d of %d have a fault", kind, column, cell.Faulty, cell.Judged)
						continue
					}
					if proven[kind] == nil {
						proven[kind] = map[string]string{}
					}
					proven[kind][column] += gen.mark
				}
			}
		})
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| kind | %s |\n|%s\n", strings.Join(becomes, " | "), strings.Repeat(" --- |", len(becomes)+1))
	kinds := []string{}
	for kind := range proven {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		fmt.Fprintf(&table, "| `%s` ", kind)
		for _, column := range becomes {
			mark := proven[kind][column]
			if mark == "" {
				mark = "–"
			}
			fmt.Fprintf(&table, "| %s ", mark)
		}
		table.WriteString("|\n")
	}
	t.Logf("\n%s", &table)
	if t.Failed() {
		return
	}
	const begin, end = "<!-- matrix -->\n", "<!-- end of matrix -->"
	name := filepath.Join("..", "docs", "coverage.md")
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(page), begin)
	have, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/coverage.md has no place for the matrix")
	}
	if have == table.String() {
		return
	}
	if os.Getenv("TIDEMARK_UPDATE") == "" {
		t.Errorf("docs/coverage.md says something else:\n%s", have)
		return
	}
	if err := os.WriteFile(name, []byte(head+begin+table.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
