package spool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"tidemark/seal"
	"tidemark/seal/sealtest"
	"tidemark/spool"
)

// A file system that is really full is a state: what was confirmed is kept, the
// cause is named, and appends work again when something else makes room.
func TestNoSpace(t *testing.T) {
	if dir := os.Getenv("SPOOL_SMALL"); dir != "" {
		onSmallDisk(t, dir)
		return
	}
	// A file system of its own, in namespaces of its own, so that no rights are needed.
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoSpace$", "-test.v")
	cmd.Env = append(os.Environ(), "SPOOL_SMALL="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skipf("this machine gives no namespace: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func onSmallDisk(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("this machine mounts nothing here: %v", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	a, id := sealtest.New(t), seal.NewIdentity()
	o := spool.Options{Identity: id, Archive: a.Archive}
	path := filepath.Join(dir, "spool.db")
	s, err := spool.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	n := 0
	add := func() error {
		noise := make([]byte, 700<<10)
		for i := range noise {
			noise[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
		}
		err := s.Append(context.Background(), seal.Messages, lines(1, string(noise)), spool.Cursor{Key: "n", Value: []byte(fmt.Sprint(n + 1))})
		if err == nil {
			n++
		}
		return err
	}
	for err = add(); err == nil; err = add() {
	}
	if !errors.Is(err, spool.ErrDisk) || !errors.Is(err, syscall.ENOSPC) || n == 0 {
		t.Fatalf("after %d: %v", n, err)
	}
	if err := add(); !errors.Is(err, spool.ErrDisk) {
		t.Fatalf("still full: %v", err)
	}
	if c, _ := s.Condition(); c.State != spool.StateDisk {
		t.Errorf("condition %+v", c)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := add(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = spool.Open(path, o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	batches, err := s.Peek(seal.Messages, 1<<30)
	if c, _ := s.Cursor("n"); err != nil || len(batches) != n || string(c) != fmt.Sprint(n) || s.Recovery() != nil {
		t.Errorf("%d batches of %d, cursor %s, %v", len(batches), n, c, err)
	}
}
