package wechat

import (
	"testing"
)

// Blobs that we did not write never panic, and what is read of them is bounded by
// their length.
func FuzzPeopleBlobs(f *testing.F) {
	f.Add([]byte("\x0a\x0e\x0a\x06wxid_a\x12\x04Anna\x28\xf4\x03"))
	f.Add([]byte("\xf2\x01\x05\x32\x2c\x31\x2c\x39"))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte(`{"a@im.wxwork":"77001"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for _, m := range readMembers(b) {
			n += len(m.ID) + len(m.Name) + len(m.Inviter)
		}
		for _, id := range labelIDs(b) {
			n += len(id)
		}
		if n > 2*len(b) {
			t.Errorf("%d bytes of names out of %d", n, len(b))
		}
		companyOf(b, map[string]string{"77001": "x"})
	})
}
