package agent

import (
	"context"

	"tidemark/collector/keys"
	"tidemark/collector/media"
)

// imageKeys gives the collector what the ring has for an account's pictures: every
// reading of every key, and the first XOR byte that was given.
func imageKeys(ring *keys.Ring) func(context.Context, string) (media.Keys, error) {
	return func(ctx context.Context, account string) (media.Keys, error) {
		given, err := ring.ImageKeys(ctx, account)
		var out media.Keys
		for _, k := range given {
			out.AES = append(out.AES, k.Candidates()...)
			if b, ok := k.XOR(); ok && out.Tail == nil {
				out.Tail = &b
			}
		}
		return out, err
	}
}
