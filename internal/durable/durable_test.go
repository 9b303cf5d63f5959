package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// writers are the two ways to write a file, which keep the same promises.
var writers = map[string]func(string, []byte, os.FileMode) error{"WriteFile": WriteFile, "Place": Place}

// Promise: the file is replaced whole, with the permissions asked for, and nothing
// else is left in the folder.
func TestWrite(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f.json")
			for _, perm := range []os.FileMode{0o440, 0o600} { // a read-only file is replaced too
				content := fmt.Sprintf("%o and %s", perm, strings.Repeat("x", int(perm)))
				if err := write(path, []byte(content), perm); err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || string(got) != content {
					t.Fatalf("read %q, %v; want %q", got, err, content)
				}
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if runtime.GOOS != "windows" && info.Mode().Perm() != perm {
					t.Errorf("permissions %v, want %v", info.Mode().Perm(), perm)
				}
			}
			wantEntries(t, dir, 1)
		})
	}
}

// Promise: when the new content cannot get its name, the old state stays and no
// temporary file, which might hold a key, is left behind.
func TestWriteFailure(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "taken")
			if err := os.MkdirAll(filepath.Join(path, "child"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := write(path, []byte("x"), 0o600); err == nil {
				t.Fatal("replaced a folder")
			}
			wantEntries(t, dir, 1)
		})
	}
}

// Promise: of several files the first get their names, in their order, and when one
// cannot be written none does; no temporary file stays.
func TestPlaceAll(t *testing.T) {
	dir := t.TempDir()
	var files []File
	for i := range 3 * atOnce {
		files = append(files, File{filepath.Join(dir, fmt.Sprintf("%03d", i)), fmt.Append(nil, "content ", i)})
	}
	if err := os.MkdirAll(filepath.Join(files[20].Name, "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := PlaceAll(files, 0o440); err == nil {
		t.Fatal("replaced a folder")
	}
	wantEntries(t, dir, 21) // 20 files and the folder
	for i, f := range files[:20] {
		if got, err := os.ReadFile(f.Name); err != nil || string(got) != fmt.Sprint("content ", i) {
			t.Fatalf("file %d: %q, %v", i, got, err)
		}
	}
	files[5].Name = filepath.Join(dir, "none", "file")
	if err := PlaceAll(files[5:20], 0o440); err == nil {
		t.Fatal("wrote into a folder that is not there")
	}
	wantEntries(t, dir, 21)
}

// Promise: what a crash left half-written is in nobody's way, read-only or not, and
// Place removes it.
func TestPlaceOverLeftover(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path+tempSuffix, []byte("half, and longer than the whole"), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := Place(path, []byte("whole"), 0o440); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Fatalf("read %q, %v", got, err)
	}
	wantEntries(t, dir, 1)
}

// Promise: writers of one name that overlap lose all but one of their contents and
// never mix them.
func TestWriteFileOverlapping(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	contents := map[string]bool{}
	var g sync.WaitGroup
	for i := range 8 {
		content := strings.Repeat(string(rune('a'+i)), 100<<10+i)
		contents[content] = true
		g.Go(func() {
			if err := WriteFile(path, []byte(content), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if got, err := os.ReadFile(path); err != nil || !contents[string(got)] {
		t.Errorf("%d bytes are no writer's, %v", len(got), err)
	}
	wantEntries(t, dir, 1)
}

// Promise: a failed sync is told from every other failure, as the archive stops on it.
func TestSyncMarksItsError(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Sync(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := Sync(f); !errors.Is(err, ErrSync) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want ErrSync and its cause", err)
	}
	if err := WriteFile(filepath.Join(t.TempDir(), "missing", "f"), nil, 0o600); err == nil || errors.Is(err, ErrSync) {
		t.Errorf("no folder: got %v, want an error that is not ErrSync", err)
	}
}

// Promise: folders are made as deep as asked, twice is harmless, and a file is not
// taken for one.
func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(deep); err != nil || !info.IsDir() {
		t.Fatalf("no folder: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, filepath.Join(file, "below")} {
		if err := MkdirAll(name, 0o700); err == nil {
			t.Errorf("made %s", name)
		}
	}
}

func wantEntries(t *testing.T, dir string, want int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != want {
		t.Errorf("%d entries in the folder, %v; want %d", len(entries), err, want)
	}
}
