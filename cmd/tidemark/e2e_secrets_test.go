package main

import (
	"os"
	"path/filepath"
	"strings"
)

// searchForSecrets looks for plaintext and keys in what the programs left on the disk
// and in their logs: texts of the chat and the account's key.
func (s *site) searchForSecrets(logs ...*process) {
	s.t.Helper()
	needles := append(s.world.Texts(50), s.world.Key())
	search := func(where string, content string) {
		for _, n := range needles {
			if strings.Contains(content, n) {
				s.t.Errorf("%s holds plaintext or a key", where)
				return
			}
		}
	}
	err := filepath.WalkDir(s.path("state"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		search(path, string(b))
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	for _, p := range logs {
		search("a log", p.log.String())
	}
}
