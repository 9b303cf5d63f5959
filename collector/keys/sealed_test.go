package keys

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Promise: a sealed key file gives the keys of what it opens to, is no source of errors
// while there is none, and names what cannot be opened.
func TestSealed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.sealed")
	refused := errors.New("sealed to another device")
	s := NewSealed(path, func(b []byte) ([]byte, error) {
		plain, ok := bytes.CutPrefix(b, []byte("sealed:"))
		if !ok {
			return nil, refused
		}
		return plain, nil
	})
	count(t, s, "wxid_a", 0)
	file := `{"v":1,"accounts":[{"account":"wxid_a","key":"` + strings.Repeat("ab", 32) + `"}]}`
	if err := os.WriteFile(path, []byte("sealed:"+file), 0o600); err != nil {
		t.Fatal(err)
	}
	count(t, s, "wxid_a", 1)
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].Source != "archive" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Keys(context.Background(), "wxid_a"); !errors.Is(err, refused) || strings.Contains(err.Error(), "abab") {
		t.Errorf("%v", err)
	}
}

// Promise: the helper that docs/keys.md gives as an example, in another language than
// ours, holds the conversation: it answers with the keys there are, with none where
// there is none, and fails on a version that it does not know.
func TestExampleHelper(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the example is in Python, and there is no python3: apt-get install python3")
	}
	script, err := filepath.Abs("../../docs/examples/key-helper.py")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"wxid_a.key": strings.Repeat("ab", 32) + "\n", "wxid_a.image": "0123456789abcdef\n", "wxid_b.key": "not a key"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := NewExec([]string{python, script, folder}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	count(t, e, "wxid_a", 1)
	if images, err := e.ImageKeys(context.Background(), "wxid_a"); err != nil || len(images) != 1 {
		t.Errorf("%d image keys, %v", len(images), err)
	}
	count(t, e, "wxid_none", 0)
	count(t, e, "../wxid_a", 0)
	if _, err := e.Keys(context.Background(), "wxid_b"); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "not a key") {
		t.Errorf("a key that is none: %v", err)
	}
	cmd := exec.Command(python, script, folder)
	cmd.Stdin = strings.NewReader(`{"v":2,"account":"wxid_a"}`)
	if out, err := cmd.Output(); err == nil || len(out) > 0 {
		t.Errorf("another version is answered with %q", out)
	}
}
