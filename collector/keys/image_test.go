package keys

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	imageText = "c0ffee-IMAGE-key" // 16 characters
	imageLong = imageText + "0123456789abcdeF"
)

var imageHex = hex.EncodeToString([]byte(imageText))

func imageKey(t *testing.T, text, xor string) ImageKey {
	t.Helper()
	k, err := ParseImageKey(text, xor)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Promise: however people store an image key, the AES key is among its readings, each
// reading has 16 bytes and comes once.
func TestImageKeyReadings(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"16 characters":          {imageText, []string{imageText}},
		"space around":           {" " + imageText + "\r\n", []string{imageText}},
		"32 characters":          {imageLong, []string{imageText}},
		"hex":                    {imageHex, []string{imageHex[:16], imageText}},
		"upper-case hex":         {strings.ToUpper(imageHex), []string{strings.ToUpper(imageHex)[:16], imageText}},
		"16 hex digits are text": {imageHex[:16], []string{imageHex[:16]}},
	} {
		var got []string
		for _, b := range imageKey(t, c.text, "").Candidates() {
			got = append(got, string(b))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	k := imageKey(t, imageText, "")
	k.Candidates()[0][0]++
	if !k.Equal(imageKey(t, imageText, "")) || string(k.Candidates()[0]) != imageText {
		t.Error("a caller can change the key")
	}
	if _, ok := k.XOR(); ok {
		t.Error("an XOR byte was made up")
	}
	if b, ok := imageKey(t, imageText, "9D").XOR(); !ok || b != 0x9d {
		t.Errorf("XOR byte %x %v", b, ok)
	}
	if k.Equal(imageKey(t, imageText, "9d")) || k.Equal(ImageKey{}) || !(ImageKey{}).Equal(ImageKey{}) {
		t.Error("keys that differ are equal, or the other way round")
	}
	if b, ok := (ImageKey{}).XOR(); len((ImageKey{}).Candidates()) != 0 || ok || b != 0 {
		t.Error("no key has readings")
	}
}

// Promise: what is no image key is refused, and the error shows nothing of it.
func TestImageKeyRefusals(t *testing.T) {
	for _, text := range []string{"", imageText[:15], imageText + "x", imageHex + "0", imageText[:8] + " " + imageText[:7], imageText[:14] + "é", strings.Repeat("\x01", 16)} {
		if _, err := ParseImageKey(text, ""); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), imageText[:6]) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, xor := range []string{"9", "9d0", "xx", "0x9d"} {
		if _, err := ParseImageKey(imageText, xor); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), xor+" ") {
			t.Errorf("xor %q: %v", xor, err)
		}
	}
}

// Promise: no way of printing or encoding shows an image key, not from within a struct.
func TestImageKeyIsSecret(t *testing.T) {
	k := imageKey(t, imageText, "9d")
	holder := struct {
		K  ImageKey
		P  *ImageKey
		In []imageEntry
	}{k, &k, []imageEntry{{"wxid_a", secret{new(string)}, "9d", k}}}
	*holder.In[0].secret.text = imageText
	encoded, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	text := string(encoded) + k.LogValue().String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		text += fmt.Sprintf(verb+verb, holder, k)
	}
	for _, part := range []string{imageText, imageHex, "99 48 102"} {
		if strings.Contains(text, part) {
			t.Errorf("shows %q: %s", part, text)
		}
	}
}

func images(t *testing.T, s Source, account string, want ...ImageKey) {
	t.Helper()
	got, err := s.ImageKeys(context.Background(), account)
	if err != nil || !slices.EqualFunc(got, want, ImageKey.Equal) {
		t.Fatalf("%s: %d image keys for %s, %v; want %d", s.Name(), len(got), account, err, len(want))
	}
}

// Promise: image keys come from files, from what was added here and from helpers,
// belong to one account, and are no keys of databases.
func TestImageKeySources(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "delivered.json")
	write(t, path, fmt.Sprintf(`{"v":1,"images":[{"account":"wxid_a","key":"%s","xor":"9d"},{"account":"wxid_b","key":"%s"}]}`, imageText, imageHex))
	f := NewFile(path)
	images(t, f, "wxid_a", imageKey(t, imageText, "9d"))
	images(t, f, "wxid_b", imageKey(t, imageHex, ""))
	images(t, f, "wxid_c")
	count(t, f, "wxid_a", 0)

	s := NewStore(filepath.Join(dir, "store.json"))
	for _, err := range []error{
		s.AddAccount("wxid_a", keyA), s.AddImage("wxid_a", imageLong, ""), s.AddImage("wxid_a", imageLong+"\n", ""), s.AddImage("wxid_b", imageText, "01"),
		s.AddDatabase(salt, keyB),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s = NewStore(filepath.Join(dir, "store.json"))
	images(t, s, "wxid_a", imageKey(t, imageLong, ""))
	count(t, s, "wxid_a", 2)
	listed, err := s.List()
	want := []Listed{
		{Kind: KindAccount, Account: "wxid_a", Source: s.Name()}, {Kind: KindDatabase, Salt: salt, Source: s.Name()},
		{Kind: KindImage, Account: "wxid_a", Source: s.Name()}, {Kind: KindImage, Account: "wxid_b", Source: s.Name()},
	}
	if err != nil || !slices.Equal(listed, want) {
		t.Errorf("list %+v, %v", listed, err)
	}

	t.Setenv("IMAGE", imageText)
	e, log := helper(t, "image", ExecOptions{})
	images(t, e, "wxid_a", imageKey(t, imageText, ""))
	count(t, e, "wxid_a", 1)
	if b, _ := os.ReadFile(log); strings.Count(string(b), "\n") != 1 {
		t.Error("the helper was asked once for each kind of key")
	}
	images(t, NewRing(f, s, e).asSource(), "wxid_a", imageKey(t, imageText, "9d"), imageKey(t, imageLong, ""), imageKey(t, imageText, ""))

	// Removing one kind keeps the other.
	if err := s.RemoveImages("wxid_a"); err != nil {
		t.Fatal(err)
	}
	images(t, s, "wxid_a")
	count(t, s, "wxid_a", 2)
	if err := s.RemoveAccount("wxid_a"); err != nil {
		t.Fatal(err)
	}
	images(t, s, "wxid_b", imageKey(t, imageText, "01"))
	if err := s.RemoveImages("wxid_a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing again: %v", err)
	}
	if err := s.AddImage("wxid_a", imageText[:10], ""); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), imageText[:6]) {
		t.Errorf("adding a bad key: %v", err)
	}
}

// ringSource lets a ring be asked like a source.
type ringSource struct{ *Ring }

func (ringSource) Name() string  { return "ring" }
func (r *Ring) asSource() Source { return ringSource{r} }

// Promise: an account of macOS 3.x gets the keys given for its username and those given
// for the hash of it, whichever it is known by at the time.
func TestHashedAccount(t *testing.T) {
	const hash = "1aa88f1d7aab95ef6f25f46053432add" // of wxid_example, from the reference
	path := filepath.Join(t.TempDir(), "keys.json")
	write(t, path, fmt.Sprintf(`{"v":1,"accounts":[{"account":"wxid_example","key":"%s"},{"account":"%s","key":"%s"},{"account":"wxid_other","key":"%s"}],
		"images":[{"account":"wxid_example","key":"%s"}]}`, keyA, hash, keyB, strings.Repeat("c3", 32), imageText))
	f := NewFile(path)
	count(t, f, hash, 2)
	count(t, f, "wxid_example", 2)
	count(t, f, "wxid_other", 1)
	images(t, f, hash, imageKey(t, imageText, ""))
}
