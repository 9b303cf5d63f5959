package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidemark/collector"
	"tidemark/collector/sqlcipher"
)

var _ collector.Keys = (*Ring)(nil)

// Keys of the tests. What tests search for in texts is their hex.
var (
	keyA = strings.Repeat("a1", 32)
	keyB = strings.Repeat("b2", 32)
	salt = strings.Repeat("0f", 16)
)

// The test binary is also the credential helper that the tests ask: it behaves as
// KEYS_TEST_HELPER says.
func TestMain(m *testing.M) {
	mode := os.Getenv("KEYS_TEST_HELPER")
	if mode == "" {
		os.Exit(m.Run())
	}
	var question struct {
		V       int
		Account string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&question); err != nil || question.V != 1 {
		os.Exit(9)
	}
	if log := os.Getenv("KEYS_TEST_LOG"); log != "" {
		f, _ := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		fmt.Fprintln(f, question.Account)
		f.Close()
	}
	fmt.Fprintln(os.Stderr, "debugging", keyA) // helpers are careless
	switch mode {
	case "answers":
		fmt.Printf(`{"v":1,"keys":["%s","%s%s"]}`, keyA, keyB, salt)
	case "image":
		fmt.Printf(`{"v":1,"keys":["%s"],"image_keys":["%s"]}`, keyA, os.Getenv("IMAGE"))
	case "bad image":
		fmt.Printf(`{"v":1,"keys":[],"image_keys":["%s"]}`, keyA[:31])
	case "none":
		fmt.Print(`{"v":1,"keys":[]}`)
	case "fails":
		fmt.Print(keyA)
		os.Exit(3)
	case "garbage":
		fmt.Print(keyA)
	case "bad key":
		fmt.Printf(`{"v":1,"keys":["%s"]}`, keyA[:63]+"g")
	case "newer":
		fmt.Printf(`{"v":2,"keys":["%s"]}`, keyA)
	case "endless":
		for {
			fmt.Print(keyA)
		}
	case "hangs":
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// count asks for the account's keys and demands n of them.
func count(t *testing.T, s Source, account string, n int) []sqlcipher.Key {
	t.Helper()
	k, err := s.Keys(context.Background(), account)
	if err != nil || len(k) != n {
		t.Fatalf("%s: %d keys for %s, %v; want %d", s.Name(), len(k), account, err, n)
	}
	return k
}

// Promise: a key file gives an account its own keys and those of single databases,
// and a changed file is read again.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	f := NewFile(path)
	if _, err := f.Keys(context.Background(), "wxid_a"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("absent file: %v", err)
	}
	write(t, path, fmt.Sprintf(`{"v":1,"accounts":[{"account":"wxid_a","key":"%s"}],"databases":[{"salt":"%s","key":"%s"}]}`, keyA, strings.ToUpper(salt), keyB))
	got := count(t, f, "wxid_a", 2)
	if _, ok := got[0].Salt(); ok {
		t.Error("the account's own key does not come first")
	}
	if s, ok := got[1].Salt(); !ok || fmt.Sprintf("%x", s) != salt {
		t.Error("the database's key has lost its salt")
	}
	count(t, f, "wxid_b", 1)
	write(t, path, fmt.Sprintf(`{"v":1,"accounts":[{"account":"wxid_b","key":"%s"}]}`, keyB))
	count(t, f, "wxid_a", 0)
	count(t, f, "wxid_b", 1)
	write(t, path, `{"v":1}`)
	count(t, f, "wxid_b", 0)
}

// Promise: a key file that could not be read is read as soon as it can be, and one
// rewritten within the clock's resolution, at the same size, is not mistaken for what
// it was.
func TestFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	content := func(account string) string {
		return fmt.Sprintf(`{"v":1,"accounts":[{"account":"%s","key":"%s"}]}`, account, keyA)
	}
	write(t, path, content("wxid_a"))
	long := time.Now().Add(-time.Hour)
	same := func() {
		t.Helper()
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	same()
	f := NewFile(path)
	f.open = func(string) (*os.File, error) { return nil, fs.ErrPermission }
	for range 2 {
		if _, err := f.Keys(context.Background(), "wxid_a"); !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("unreadable file: %v", err)
		}
	}
	reads := 0
	f.open = func(path string) (*os.File, error) { reads++; return os.Open(path) }
	count(t, f, "wxid_a", 1) // nothing of the file has changed but who may read it
	count(t, f, "wxid_a", 1)
	if reads != 1 {
		t.Errorf("an old file was read %d times", reads)
	}
	f.now = func() time.Time { return long.Add(time.Second) }
	f.info = nil
	count(t, f, "wxid_a", 1)
	write(t, path, content("wxid_b"))
	same()
	count(t, f, "wxid_b", 1)
}

// Promise: what is not of the format is refused with an error that says where and
// shows nothing of the file, in which there may be keys.
func TestFileRefusals(t *testing.T) {
	for name, content := range map[string]string{
		"empty":                    "",
		"not JSON":                 keyA,
		"a list":                   `["` + keyA + `"]`,
		"no version":               `{"accounts":[]}`,
		"newer version":            `{"v":2,"accounts":[]}`,
		"unknown member":           `{"v":1,"account":[{"account":"wxid_a","key":"` + keyA + `"}]}`,
		"key as unknown member":    `{"v":1,"` + keyA + `":"wxid_a"}`,
		"key as number":            `{"v":1,"accounts":[{"account":"wxid_a","key":` + strings.Repeat("1", 64) + `}]}`,
		"key where a list belongs": `{"v":1,"accounts":"` + keyA + `"}`,
		"short key":                `{"v":1,"accounts":[{"account":"wxid_a","key":"` + keyA[:62] + `"}]}`,
		"key not hex":              `{"v":1,"accounts":[{"account":"wxid_a","key":"` + keyA[:62] + `zz"}]}`,
		"no account":               `{"v":1,"accounts":[{"account":"","key":"` + keyA + `"}]}`,
		"account with a space":     `{"v":1,"accounts":[{"account":"wxid a","key":"` + keyA + `"}]}`,
		"account with a newline":   `{"v":1,"accounts":[{"account":"wxid\na","key":"` + keyA + `"}]}`,
		"short salt":               `{"v":1,"databases":[{"salt":"00","key":"` + keyA + `"}]}`,
		"two salts that differ":    `{"v":1,"databases":[{"salt":"` + salt + `","key":"` + keyA + strings.Repeat("00", 16) + `"}]}`,
		"image without a key":      `{"v":1,"images":[{"account":"wxid_a"}]}`,
		"image key too long":       `{"v":1,"images":[{"account":"wxid_a","key":"` + keyA + `"}]}`,
		"image key's xor":          `{"v":1,"images":[{"account":"wxid_a","key":"` + keyA[:32] + `","xor":"111111111"}]}`,
		"image of nobody":          `{"v":1,"images":[{"account":"","key":"` + keyA[:32] + `"}]}`,
		"second value":             `{"v":1} {"v":1}`,
		"rubbish behind":           `{"v":1} ` + keyA,
		"too long":                 `{"v":1}` + strings.Repeat(" ", maxInput),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.json")
			write(t, path, content)
			_, err := NewFile(path).Keys(context.Background(), "wxid_a")
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error %v, want ErrFormat", err)
			}
			for _, part := range []string{keyA[:8], strings.Repeat("1", 8), "wxid"} {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error shows %q: %v", part, err)
				}
			}
		})
	}
	if _, err := NewFile(t.TempDir()).Keys(context.Background(), "a"); err == nil {
		t.Error("a folder was read")
	}
}

// Promise: a key file that everybody may read works and is a named problem.
func TestWorldReadableFileIsAProblem(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists there")
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	write(t, path, fmt.Sprintf(`{"v":1,"accounts":[{"account":"wxid_a","key":"%s"}]}`, keyA))
	r := NewRing(NewFile(path))
	if p := r.Problems(); len(p) != 0 {
		t.Fatalf("problems with 0600: %v", p)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	count(t, NewFile(path), "wxid_a", 1)
	if p := r.Problems(); len(p) != 1 || !strings.Contains(p[0].Error(), path) {
		t.Errorf("problems %v, want one that names the file", p)
	}
}

// Promise: keys added are kept over a restart, in a file only this user can read,
// each once; removing removes all of the account or database and nothing else.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	s := NewStore(path)
	count(t, s, "wxid_a", 0)
	add := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	add(s.AddAccount("wxid_a", keyA))
	add(s.AddAccount("wxid_a", " "+strings.ToUpper(keyA)+"\n")) // the same key
	add(s.AddAccount("wxid_a", keyB))
	add(s.AddAccount("wxid_b", "x'"+keyB+"'"))
	add(s.AddDatabase(salt, "x'"+keyA+"'"))
	s = NewStore(path)
	count(t, s, "wxid_a", 3)
	count(t, s, "wxid_b", 2)
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatalf("permissions %v, %v", info.Mode(), err)
	}
	listed, err := s.List()
	if err != nil || len(listed) != 3 || listed[0].Account != "wxid_a" || listed[2].Salt != salt {
		t.Fatalf("list %+v, %v", listed, err)
	}
	add(s.RemoveAccount("wxid_a"))
	count(t, s, "wxid_a", 1)
	count(t, s, "wxid_b", 2)
	add(s.RemoveDatabase(strings.ToUpper(salt)))
	count(t, s, "wxid_b", 1)
	if err := s.RemoveAccount("wxid_a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing again: %v", err)
	}
	if err := s.RemoveAccount(""); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing nobody: %v", err)
	}
	if err := s.AddAccount("wxid_a", keyA+"0"); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), keyA[:8]) {
		t.Errorf("adding a bad key: %v", err)
	}
}

// Promise: a damaged store is an error and is not overwritten by the next key.
func TestStoreKeepsWhatItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	write(t, path, "damaged")
	if err := NewStore(path).AddAccount("wxid_a", keyA); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "damaged" {
		t.Error("the damaged file was overwritten")
	}
}

// broken is a source that cannot be asked.
type broken struct{}

func (broken) Name() string { return "broken" }
func (broken) Keys(context.Context, string) ([]sqlcipher.Key, error) {
	return nil, errors.New("it burns")
}
func (broken) ImageKeys(context.Context, string) ([]ImageKey, error) {
	return nil, errors.New("it burns")
}

// Promise: a ring asks in order, gives each key once, and a source that fails hides
// no other's keys, nor its own failure when nothing was found.
func TestRing(t *testing.T) {
	dir := t.TempDir()
	first, second := NewStore(filepath.Join(dir, "a")), NewStore(filepath.Join(dir, "b"))
	for _, err := range []error{first.AddAccount("wxid_a", keyB), second.AddAccount("wxid_a", keyA), second.AddAccount("wxid_a", keyB)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := NewRing(broken{}, first, second)
	got, err := r.Keys(context.Background(), "wxid_a")
	if err != nil || len(got) != 2 {
		t.Fatalf("%d keys, %v; want 2", len(got), err)
	}
	if b, _ := sqlcipher.ParseKey(keyB); !got[0].Equal(b) {
		t.Error("the first source's key does not come first")
	}
	if _, err := r.Keys(context.Background(), "wxid_b"); err == nil || !strings.Contains(err.Error(), "it burns") {
		t.Errorf("nothing found and a source failed: %v", err)
	}
	if k, err := NewRing(first).Keys(context.Background(), "wxid_b"); err != nil || len(k) != 0 {
		t.Errorf("nothing found and none failed: %v, %v", k, err)
	}
	listed, err := r.List()
	if err != nil || len(listed) != 3 || listed[0].Source != "broken" {
		t.Errorf("list %+v, %v", listed, err)
	}
	set, err := first.load()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %+v %#v", first, second, listed, set.entries, set.entries); strings.Contains(text, keyA[:8]) || strings.Contains(text, keyB[:8]) {
		t.Error("a key can be printed")
	}
}

// FuzzParse: no input makes the parser fail otherwise than with ErrFormat, no error
// repeats a run of the input, and what is accepted encodes to a file that means the
// same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"accounts":[{"account":"wxid_a","key":"` + keyA + `"}],"databases":[{"salt":"` + salt + `","key":"` + keyB + `"}]}`))
	f.Add([]byte(`{"v":1,"accounts":[{"account":"wxid_a","key":"` + keyA + salt + `"}]}`))
	f.Add([]byte(`{"v":1,"databases":[{"salt":"` + salt + `","key":"x'` + keyB + salt + `'"}]}`))
	f.Add([]byte(`{"v":1,"accounts":[{"account":"` + keyA + `","key":1}]}`))
	f.Add([]byte(`{"v":1,"images":[{"account":"wxid_a","key":"<\\\"&0123456789ab","xor":"0f"},{"account":"wxid_a","key":" ` + keyA[:32] + ` "}]}`))
	f.Add([]byte(`{"v":1} {`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error %v", err)
			}
			if len(err.Error()) > 200 || strings.Contains(err.Error(), keyA[:8]) {
				t.Fatalf("error shows input: %v", err)
			}
			return
		}
		out, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(out)
		if err != nil || len(again.entries) != len(s.entries) || len(again.images) != len(s.images) {
			t.Fatalf("encoded form: %v", err)
		}
		find := func(in *set, e entry) bool {
			for _, o := range in.entries {
				if o.account == e.account && o.salt == e.salt && o.key.Equal(e.key) {
					return true
				}
			}
			return false
		}
		for i, e := range s.images {
			if o := again.images[i]; o.account != e.account || !o.key.Equal(e.key) {
				t.Fatalf("image key %d changed its meaning", i)
			}
		}
		for _, e := range s.entries {
			if !find(again, e) {
				t.Fatalf("an entry for %q/%q changed its meaning", e.account, e.salt)
			}
		}
	})
}
