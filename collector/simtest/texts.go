package simtest

import (
	"bufio"
	"encoding/json"
	"os"
)

// Texts returns up to n texts that the client committed, long enough to be met nowhere
// by chance.
func (w *World) Texts(n int) []string {
	w.t.Helper()
	f, err := os.Open(w.Oracle)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(out) < n {
		var line struct {
			Change struct{ Text string }
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && len(line.Change.Text) >= 24 {
			out = append(out, line.Change.Text)
		}
	}
	if err := lines.Err(); err != nil || len(out) == 0 {
		w.t.Fatalf("no text in the oracle: %v", err)
	}
	return out
}
