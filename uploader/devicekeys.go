package uploader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tidemark/seal/protocol"
)

// ErrNoKeys reports an archive that passes no keys on.
var ErrNoKeys = errors.New("the archive passes no keys on")

// DeviceKeys asks the archive for the keys that the organisation left for this device,
// still sealed; nil when nothing is left. The error is a Failure, ErrNoKeys, or the
// context's.
func (u *Uploader) DeviceKeys(ctx context.Context) ([]byte, error) {
	recipient, err := u.opts.Identity.KeyRecipient()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(protocol.KeysRequest{V: 1, Recipient: recipient})
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	token, err := protocol.Token(u.opts.Identity, u.opts.Archive.Name(), http.MethodPost, protocol.PathKeys, body, u.now())
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	var answer protocol.DeviceKeys
	_, err = u.opts.Remote.post(ctx, protocol.PathKeys, token, protocol.TypeJSON, body, &answer, nil)
	var f *Failure
	switch {
	case err == nil:
		return answer.Sealed, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &f) && f.Problem != nil && f.Problem.Status == http.StatusNotFound:
		return nil, ErrNoKeys
	}
	return nil, err
}
