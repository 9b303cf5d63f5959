package sqlcipher

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// simulatorBinary builds the simulator, real SQLCipher under a real client's habits, once.
var simulatorBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sqlcipher-test-")
	if err != nil {
		return "", err
	}
	cleanups = append(cleanups, dir)
	bin := filepath.Join(dir, "simulator")
	cmd := exec.Command("go", "build", "-C", filepath.Join("..", "..", "simulator"), "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", &buildError{string(out), err}
	}
	return bin, nil
})

type buildError struct {
	out string
	err error
}

func (e *buildError) Error() string { return "build simulator: " + e.err.Error() + "\n" + e.out }

// cleanups are folders shared by several tests, removed when all are done.
var cleanups []string

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range cleanups {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func simulator(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("the simulator is real SQLCipher and needs a C compiler")
	}
	bin, err := simulatorBinary()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// simAccount is an account made by the simulator.
type simAccount struct {
	root, keysFile, oracle string
}

func (a simAccount) message0() string {
	return filepath.Join(a.root, "wxid_tide_1a2b", "db_storage", "message", "message_0.db")
}

// key reads the account key the simulator wrote down.
func (a simAccount) key(t testing.TB) Key {
	t.Helper()
	b, err := os.ReadFile(a.keysFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Accounts []struct{ Key string } }
	if err := json.Unmarshal(b, &doc); err != nil || len(doc.Accounts) == 0 {
		t.Fatalf("keys file: %v", err)
	}
	k, err := ParseKey(doc.Accounts[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newAccount says where an account will be; args are added by those who make it.
func newAccount(dir string) simAccount {
	return simAccount{filepath.Join(dir, "root"), filepath.Join(dir, "keys.json"), filepath.Join(dir, "oracle")}
}

func (a simAccount) args(command string, more ...string) []string {
	return append([]string{command, "--root", a.root, "--keys-out", a.keysFile, "--oracle", a.oracle}, more...)
}

// madeAccount makes an account of a size once for all benchmarks.
func madeAccount(b testing.TB, messages string) simAccount {
	b.Helper()
	bin := simulator(b)
	madeMu.Lock()
	defer madeMu.Unlock()
	if a, ok := made[messages]; ok {
		return a
	}
	dir, err := os.MkdirTemp("", "sqlcipher-bench-")
	if err != nil {
		b.Fatal(err)
	}
	cleanups = append(cleanups, dir)
	a := newAccount(dir)
	if out, err := exec.Command(bin, a.args("make", "--messages", messages)...).CombinedOutput(); err != nil {
		b.Fatalf("make account: %v\n%s", err, out)
	}
	made[messages] = a
	return a
}

var (
	madeMu sync.Mutex
	made   = map[string]simAccount{}
)

// tables lists the message tables.
func tables(v *View) ([]string, error) {
	return query(v, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'Msg\\_%' ESCAPE '\\' ORDER BY name")
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
