package discover

import "path/filepath"

func profileParents() []string { return []string{"/Users"} }

// places are where Weixin 4.x for macOS keeps xwechat_files: the documents of its
// sandbox container.
func places(home string) []string {
	return []string{filepath.Join(home, "Library", "Containers", "com.tencent.xinWeChat", "Data", "Documents")}
}
