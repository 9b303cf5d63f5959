package collector_test

import (
	"context"
	"testing"

	"tidemark/collector/keys"
	"tidemark/collector/media"
	"tidemark/collector/simtest"
)

// Of every generation the files of every kind of message are captured, with the right
// bytes, and what is not there is not said to be: oracle and archive agree file by file,
// those that come after their messages too.
func TestFilesOfEveryKind(t *testing.T) {
	for _, g := range []simtest.Generation{simtest.V4, simtest.W3, simtest.M3} {
		t.Run(string(g), func(t *testing.T) {
			w := simtest.NewOf(t, g)
			w.Chat("--kinds", "all", "--count", "130", "--rate", "40", "--recall", "0").Wait()
			d := newDevice(t, w)
			source := keys.NewFile(w.Keys)
			d.options.Keys = source
			d.options.ImageKeys = func(ctx context.Context, account string) (out media.Keys, err error) {
				given, err := source.ImageKeys(ctx, account)
				for _, k := range given {
					out.AES = append(out.AES, k.Candidates()...)
				}
				return out, err
			}
			s := d.once()
			d.compare()
			if len(s.Accounts) != 1 || s.Accounts[0].Severity != "info" {
				t.Errorf("status: %+v", s)
			}
		})
	}
}
