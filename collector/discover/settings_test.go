package discover

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// Promise: of a passwd file only people's homes are searched.
func TestPasswdHomes(t *testing.T) {
	got := passwdHomes("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n" +
		"a:x:1000:1000:A,,,:/data/home/a:/bin/zsh\nb:x:1001:1001::/home/b/:/bin/sh\nagain:x:1002:1::/home/b:/bin/sh\n" +
		"nobody:x:65534:65534::/nonexistent:/bin/false\nrel:x:1003:1::home:/bin/sh\nnone:x:1004:1::/:/bin/sh\nshort:x:1005\nbad:x:-1:1::/z:/bin/sh\n")
	if want := []string{"/root", "/data/home/a", "/home/b"}; !slices.Equal(got, want) {
		t.Errorf("homes %q, want %q", got, want)
	}
}

// Promise: variables expand as Windows does it, a percent sign of the path stays, and
// an unknown variable is not guessed.
func TestExpand(t *testing.T) {
	vars := map[string]string{"USERPROFILE": `C:\Users\a`, "EMPTY": ""}
	for in, want := range map[string]string{
		`%USERPROFILE%\Documents`: `C:\Users\a\Documents`, `%userProfile%`: `C:\Users\a`, `D:\100%`: `D:\100%`, "": "", `a%EMPTY%b`: "ab", `D:\x`: `D:\x`,
	} {
		if got, ok := expand(in, vars); got != want || !ok {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	if got, ok := expand(`%OTHER%\x`, vars); ok {
		t.Errorf("unknown variable: %q", got)
	}
}

// FuzzSettings: whatever stands in a setting's file or value, reading it ends, and
// what it gives is a line of text or an absolute path.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{
		"D:\\data", "\xef\xbb\xbf/数据\r\n", "\xce\xa2\xd0\xc5", "MyDocument:", "MyDocument:\\..\\x", "%USERPROFILE%/x", "%%", "\x00\xff", "\"/quoted\"",
		"XDG_DOCUMENTS_DIR=\"$HOME/a\"", "a:x:1000:1000::/home/a:/bin/sh",
	} {
		f.Add([]byte(seed))
	}
	vars := map[string]string{"USERPROFILE": "/home/a"}
	f.Fuzz(func(t *testing.T, data []byte) {
		texts := iniTexts(data)
		for _, text := range texts {
			if text == "" || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 3*len(data) {
				t.Errorf("reading %q", text)
			}
			paths, ok := parents(text, vars, []string{"/home/a/Documents"})
			if ok != (len(paths) == 1) {
				t.Errorf("%q: %q %v", text, paths, ok)
			}
			for _, p := range paths {
				if !filepath.IsAbs(p) || filepath.Clean(p) != p {
					t.Errorf("%q: path %q", text, p)
				}
			}
		}
		if len(texts) > 2 {
			t.Errorf("%d readings", len(texts))
		}
		if d := xdgDocuments(string(data), "/home/a"); d != "" && !filepath.IsAbs(d) {
			t.Errorf("documents %q", d)
		}
		for _, home := range passwdHomes(string(data)) {
			if !filepath.IsAbs(home) || home == "/" {
				t.Errorf("home %q", home)
			}
		}
	})
}
