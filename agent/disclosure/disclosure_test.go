package disclosure

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Promise: the built-in notice names, in both languages, what the organisation said of
// itself; its own text takes the place of all of it; and other words are another version.
func TestNotice(t *testing.T) {
	full := Notice{Organisation: "Example Bank", Retention: "seven years", Contact: "compliance@example.com", Archive: "archive.example"}
	for _, language := range []string{English, Chinese} {
		text := full.In(language)
		for _, want := range []string{full.Organisation, full.Retention, full.Contact, full.Archive} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", language, want, text)
			}
		}
		for _, text := range []string{text, Notice{}.In(language)} {
			if strings.ContainsAny(text, "{}") || strings.Contains(text, "\n\n\n") {
				t.Errorf("%s has a hole:\n%s", language, text)
			}
		}
	}
	if full.In(English) == full.In(Chinese) {
		t.Error("both languages are the same")
	}
	own := Notice{Text: "We record.\n"}
	if own.In(English) != "We record." || own.In(Chinese) != "We record." {
		t.Errorf("own text: %q", own.In(English))
	}
	a, b := full.Complete(), Notice{Text: "other"}.Complete()
	if a.Version == "" || a.Version == b.Version || a.Version != full.Complete().Version {
		t.Errorf("versions %q and %q", a.Version, b.Version)
	}
	if v := (Notice{Version: "2026-1", Text: "x"}).Complete().Version; v != "2026-1" {
		t.Errorf("a given version became %q", v)
	}
}

// Promise: systems' names of languages are understood, and what is not Chinese is
// answered in English.
func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, English}, {[]string{"", "zh_CN.UTF-8"}, Chinese}, {[]string{"de_DE", "zh_CN"}, English}, {[]string{"zh-Hans-CN"}, Chinese}, {[]string{"C"}, English},
	} {
		if got := Language(c.names...); got != c.want {
			t.Errorf("%q: %s, want %s", c.names, got, c.want)
		}
	}
}

// Promise: an acknowledgement is kept with its version, time and user, once; a later
// version is not acknowledged by it; and the file says the same to who reads it.
func TestAcknowledge(t *testing.T) {
	home := t.TempDir()
	first := Notice{Text: "one"}.Complete()
	if list, err := Acknowledged(home); err != nil || len(list) != 0 {
		t.Fatalf("before: %v, %v", list, err)
	}
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	if _, err := Acknowledge(home, first, "anna", English, at); err != nil {
		t.Fatal(err)
	}
	again, err := Acknowledge(home, first, "anna", Chinese, at.Add(time.Hour))
	if err != nil || !again.At.Equal(at) || again.Language != English {
		t.Errorf("again: %+v, %v", again, err)
	}
	second := Notice{Text: "two"}.Complete()
	list, err := Acknowledged(home)
	if err != nil || len(list) != 1 || list[0] != (Acknowledgement{first.Version, first.Digest(), at, "anna", English}) {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, ok := second.Find(list); ok {
		t.Error("the second version counts as acknowledged")
	}
	for range 120 { // versions without end stay bounded
		if _, err := Acknowledge(home, Notice{Text: time.Now().String()}.Complete(), "anna", English, at); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := Acknowledged(home); err != nil || len(list) != 100 {
		t.Errorf("%d acknowledgements, %v", len(list), err)
	}
}

// Promise: what may be somebody else's file, or is none, acknowledges nothing.
func TestNotTheirs(t *testing.T) {
	n := Notice{Text: "one"}.Complete()
	for name, spoil := range map[string]func(t *testing.T, file string){
		"a link": func(t *testing.T, file string) {
			other := file + ".other"
			if err := errors.Join(os.Rename(file, other), os.Symlink(other, file)); err != nil {
				t.Skip("this system makes no links:", err)
			}
		},
		"damaged":     func(t *testing.T, file string) { os.WriteFile(file, []byte(`{"v":1,`), 0o600) },
		"of tomorrow": func(t *testing.T, file string) { os.WriteFile(file, []byte(`{"v":2,"acknowledged":[]}`), 0o600) },
		"too large":   func(t *testing.T, file string) { os.Truncate(file, maxAcknowledgements+1) },
		"a folder": func(t *testing.T, file string) {
			if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
		"another user's": func(t *testing.T, file string) {
			if runtime.GOOS == "windows" || os.Getuid() != 0 {
				t.Skip("only root gives files away")
			}
			if err := os.Chown(file, 12345, 12345); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			if _, err := Acknowledge(home, n, "anna", English, time.Now()); err != nil {
				t.Fatal(err)
			}
			spoil(t, File(home))
			if list, err := Acknowledged(home); err == nil || len(list) != 0 {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
}

// Promise: the manifest is readable by everybody and says what was written; without one,
// that is the error; and a damaged one is never half read.
func TestManifest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "public")
	if _, err := ReadManifest(dir); !errors.Is(err, ErrNoManifest) {
		t.Errorf("none: %v", err)
	}
	m := &Manifest{V: 1, Made: time.Now().UTC().Truncate(time.Second), Running: true, Notice: Notice{Text: "x"}.Complete(), Present: []Account{{Ref: Ref("/home/a"), State: "current"}}}
	if err := m.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(dir)
	if err != nil || !got.Same(m) || !got.Made.Equal(m.Made) {
		t.Errorf("%+v, %v", got, err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, ManifestName): 0o644} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	}
	later := *m
	later.Made = later.Made.Add(time.Hour)
	if !m.Same(&later) {
		t.Error("the time alone makes a difference")
	}
	later.Running = false
	if m.Same(&later) || m.Same(nil) {
		t.Error("a difference is not seen")
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadManifest(dir); err == nil || errors.Is(err, ErrNoManifest) {
		t.Errorf("damaged: %v", err)
	}
}

// Promise: bytes that another user wrote do no harm, whatever they are.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"v":1,"acknowledged":[{"version":"a","at":"2026-11-30T08:00:00Z"}]}`))
	f.Add([]byte(`{"v":1,"made":"2026-11-30T08:00:00Z","account_folders":[{"ref":"00"}]}`))
	f.Add([]byte(`{"v":1`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := parseAcknowledgements(data); err != nil && list != nil {
			t.Error("an error and a list")
		}
		if m, err := parseManifest(data); (m == nil) == (err == nil) {
			t.Error("neither a manifest nor an error")
		}
	})
}
