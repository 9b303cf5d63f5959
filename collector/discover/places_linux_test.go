package discover

import (
	"os"
	"path/filepath"
	"testing"
)

// The documents folder has another name in other languages.
func TestPlaces(t *testing.T) {
	home := t.TempDir()
	os.MkdirAll(filepath.Join(home, ".config"), 0o755)
	if err := os.WriteFile(filepath.Join(home, ".config", "user-dirs.dirs"), []byte("# comment\nXDG_DOCUMENTS_DIR=\"$HOME/文档\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range places(home) {
		if p == filepath.Join(home, "文档") {
			return
		}
	}
	t.Errorf("places are %v", places(home))
}
