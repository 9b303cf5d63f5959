package sqlcipher

import (
	"os"
	"path/filepath"
	"testing"
)

// Promise: a file that is open here can be written, renamed and deleted by the client,
// which Windows refuses for a file that is opened in the ordinary way.
func TestOpenSharedDisturbsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "message_0.db")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openShared(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.WriteFile(path, []byte("changed"), 0o600); err != nil {
		t.Errorf("write: %v", err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Errorf("rename: %v", err)
	}
	if err := os.Remove(path + ".old"); err != nil {
		t.Errorf("delete: %v", err)
	}
	got := make([]byte, 7)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "changed" {
		t.Errorf("read %q, %v", got, err)
	}
	ordinary := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(ordinary, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(ordinary)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := os.Remove(ordinary); err == nil {
		t.Error("an ordinarily opened file is deleted too: this system cannot tell the two apart")
	}
}
