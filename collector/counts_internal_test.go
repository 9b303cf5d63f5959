package collector

import (
	"reflect"
	"testing"
)

// Months read back as they were written, whatever the days; and nothing that is no
// month is taken for one.
func FuzzBucket(f *testing.F) {
	b := bucket{20780: {tally{12, 3, 1}, 1, true}, undatedDay: {tally: tally{sealed: 4}}}
	f.Add(b.encode())
	f.Add([]byte{1, 2})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBucket(data)
		if err != nil {
			return
		}
		again, err := decodeBucket(b.encode())
		if err != nil || !reflect.DeepEqual(again, b) {
			t.Errorf("%v became %v: %v", b, again, err)
		}
	})
}
