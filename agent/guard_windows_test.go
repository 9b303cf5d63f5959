package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/windows"
)

// Promise: the access that folders are given lets nobody in but the system and
// administrators, and a list that does is told from one that does not.
func TestStrangers(t *testing.T) {
	for text, want := range map[string]int{
		folderAccess:                    0,
		"O:SYD:P(A;OICI;FA;;;SY)":       0,
		folderAccess + "(A;;FR;;;BU)":   1, // users may read
		folderAccess + "(A;;FW;;;WD)":   1, // everyone may write
		folderAccess + "(A;;SD;;;AU)":   1, // may delete
		folderAccess + "(A;;WD;;;BU)":   1, // may give themselves access
		folderAccess + "(D;;FA;;;BU)":   0, // a refusal opens nothing
		folderAccess + "(A;;RC;;;BU)":   0, // may see who is let in
		folderAccess + "(A;;0x20;;;BU)": 0, // may pass through
		"O:SY":                          1, // no list
	} {
		sd, err := windows.SecurityDescriptorFromString(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if who := strangers(sd); len(who) != want {
			t.Errorf("%s: %q, want %d", text, who, want)
		}
	}
	sd, err := windows.SecurityDescriptorFromString("O:BUD:P(A;OICI;FA;;;SY)")
	if err != nil || stranger(sd) == "" { // an owner may give anybody access
		t.Errorf("users own it, and are no strangers: %v", err)
	}
}

// Promise: a link in the state folder's place, which any user could have put there before
// the installation, is not followed.
func TestFolderThatIsALink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := own(link); !errors.Is(err, ErrOthersFolder) {
		t.Errorf("a link: %v", err)
	}
}
