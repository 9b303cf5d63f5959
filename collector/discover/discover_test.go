package discover

import (
	"os"
	"path/filepath"
	"testing"
)

// Accounts are found in a root, beside a root and as a root, each once; what stands
// beside them is none.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "docs", "xwechat_files")
	for _, p := range []string{
		"wxid_a_1a2b/db_storage", "old_name/db_storage", "custom_beef/db_storage", "all_users/db_storage", "Backup/db_storage",
		"wxid_empty_0000", "wxid_long_12345678/db_storage", "x_123456789/db_storage",
	} {
		if err := os.MkdirAll(filepath.Join(root, filepath.FromSlash(p)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][2]string{ // folder -> username, what it may be instead
		"wxid_a_1a2b": {"wxid_a", "wxid_a_1a2b"}, "old_name": {"old_name", ""}, "custom_beef": {"custom", "custom_beef"},
		"wxid_long_12345678": {"wxid_long", "wxid_long_12345678"}, "x_123456789": {"x_123456789", ""},
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(root, link); err != nil {
		t.Skip("no symbolic links here")
	}
	for name, extra := range map[string][]string{
		"the root": {root}, "its parent": {filepath.Dir(root)}, "both, and a link to it": {root, filepath.Dir(root), link},
	} {
		found, problems := Find(extra)
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
		n := 0
		for _, a := range found {
			if filepath.Dir(a.Path) != mustReal(t, root) {
				continue // this machine's own
			}
			n++
			if w, ok := want[filepath.Base(a.Path)]; !ok || a.ID != w[0] || a.Alternative != w[1] || a.Generation != "4" {
				t.Errorf("%s: %+v", name, a)
			}
		}
		if n != len(want) {
			t.Errorf("%s: %d accounts of %d", name, n, len(want))
		}
	}
	one, _ := Find([]string{filepath.Join(root, "wxid_a_1a2b")})
	if len(one) == 0 || one[0].ID != "wxid_a" {
		t.Errorf("an account folder itself: %+v", one)
	}
	if _, problems := Find([]string{filepath.Join(dir, "nowhere")}); len(problems) != 1 {
		t.Errorf("a root that is not there is no problem: %v", problems)
	}
}

func mustReal(t *testing.T, path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return real
}
