//go:build linux

// Package faultfs is a file system for tests of crashes: what programs write below a
// mount point goes to a folder, and a test may stop a program at any change of a file,
// make changes fail, or cut the power, after which the folder holds what a disk could
// hold then.
//
// It needs FUSE and root. It is in no program.
//
// # Power cuts
//
// What was written and not yet synced may be on the disk or not, in blocks of 4 KiB,
// each with any of the contents it has had since its last sync. Of the changes of a
// folder's entries since its last sync any number may be on the disk, the earlier ones
// first. This is what a file system promises that journals its metadata and nothing
// else; real ones are kinder.
package faultfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is one change.
type Op struct {
	Kind string // write, sync, truncate, create, rename, unlink, mkdir, rmdir, syncdir, mode
	Path string // below the mount point
}

// Phase says where in a change a hook is called.
type Phase int

// The phases. Half is in the middle of a write, with its first half done, and the same
// as Before for all else.
const (
	Before Phase = iota
	Half
	After
)

func (p Phase) String() string { return [...]string{"before", "half", "after"}[p] }

// FS is a mounted file system.
type FS struct {
	backing string
	trash   string // removed files, until the removal is durable
	server  *fuse.Server

	mu     sync.Mutex // one change at a time, so that their order is the truth
	hook   func(Op, Phase) error
	frozen bool
	files  map[uint64]*dirtyFile
	dirs   map[string]*dirtyDir // by path below backing
	trashN int
}

// Mount mounts backing, a folder, at mountpoint, another. Trash is a third folder on the
// same disk as backing.
func Mount(mountpoint, backing, trash string) (*FS, error) {
	// What an earlier mount kept there would stand in the way of what this one keeps.
	leftovers, err := filepath.Glob(filepath.Join(trash, "*"))
	if err != nil {
		return nil, err
	}
	for _, l := range leftovers {
		if err := os.RemoveAll(l); err != nil {
			return nil, err
		}
	}
	f := &FS{backing: backing, trash: trash, files: map[uint64]*dirtyFile{}, dirs: map[string]*dirtyDir{}}
	var st syscall.Stat_t
	if err := syscall.Stat(backing, &st); err != nil {
		return nil, err
	}
	root := &fs.LoopbackRoot{Path: backing, Dev: uint64(st.Dev)}
	root.RootNode = &node{LoopbackNode: &fs.LoopbackNode{RootData: root}, f: f}
	server, err := fs.Mount(mountpoint, root.RootNode, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "faultfs", Name: "faultfs", MaxWrite: 1 << 20},
	})
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	f.server = server
	return f, nil
}

// Unmount ends it. Files below the mount point must be closed.
func (f *FS) Unmount() error { return f.server.Unmount() }

// Hook sets what is called at each phase of each change, nil for nothing. An error of
// Before or Half is the program's answer, and the rest of the change is left out. Hooks
// are called one at a time.
func (f *FS) Hook(h func(Op, Phase) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = h
}

// change runs do, a change, with the hook's calls around it.
func (f *FS) change(kind, path string, half, do func() syscall.Errno) syscall.Errno {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen {
		return syscall.EIO
	}
	op := Op{kind, path}
	call := func(p Phase) syscall.Errno {
		if f.hook == nil {
			return 0
		}
		if err := f.hook(op, p); err != nil {
			return fs.ToErrno(err)
		}
		return 0
	}
	if errno := call(Before); errno != 0 {
		return errno
	}
	if errno := call(Half); errno != 0 {
		if half != nil {
			half()
		}
		return errno
	}
	if f.frozen { // the hook cut the power
		return syscall.EIO
	}
	if errno := do(); errno != 0 {
		return errno
	}
	call(After)
	return 0
}

// node is a file or folder.
type node struct {
	*fs.LoopbackNode
	f *FS
}

// WrapChild makes what is found below one of ours.
func (n *node) WrapChild(_ context.Context, found fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: found.(*fs.LoopbackNode), f: n.f}
}

func (n *node) below(name string) string { return filepath.Join(n.Path(n.Root()), name) }

func (n *node) real(name string) string { return filepath.Join(n.f.backing, n.below(name)) }

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (inode *fs.Inode, fh fs.FileHandle, fuseFlags uint32, errno syscall.Errno) {
	errno = n.f.change("create", n.below(name), nil, func() syscall.Errno {
		existed := exists(n.real(name))
		var e syscall.Errno
		inode, fh, fuseFlags, e = n.LoopbackNode.Create(ctx, name, flags, mode, out)
		if e == 0 && !existed {
			n.f.entry(n.below(""), undoCreate(n.real(name)))
		}
		return e
	})
	if errno == 0 {
		fh = &file{inner: fh, f: n.f, path: n.below(name), real: n.real(name)}
	}
	return inode, fh, fuseFlags, errno
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_TRUNC != 0 {
		errno := n.f.change("truncate", n.below(""), nil, func() syscall.Errno {
			n.f.resized(n.real(""), 0)
			return fs.ToErrno(syscall.Truncate(n.real(""), 0))
		})
		if errno != 0 {
			return nil, 0, errno
		}
		flags &^= syscall.O_TRUNC
	}
	fh, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &file{inner: fh, f: n.f, path: n.below(""), real: n.real("")}, fuseFlags, 0
}

func (n *node) Setattr(ctx context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		return n.f.change("truncate", n.below(""), nil, func() syscall.Errno {
			n.f.resized(n.real(""), int64(size))
			return n.LoopbackNode.Setattr(ctx, nil, in, out)
		})
	}
	return n.f.change("mode", n.below(""), nil, func() syscall.Errno { return n.LoopbackNode.Setattr(ctx, nil, in, out) })
}

func (n *node) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.LoopbackNode.Getattr(ctx, nil, out)
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.f.change("mkdir", n.below(name), nil, func() syscall.Errno {
		var e syscall.Errno
		inode, e = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		if e == 0 {
			n.f.entry(n.below(""), undoCreate(n.real(name)))
		}
		return e
	})
	return inode, errno
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	return n.f.change("unlink", n.below(name), nil, func() syscall.Errno {
		undo := n.f.undoRemove(n.real(name))
		e := n.LoopbackNode.Unlink(ctx, name)
		if e == 0 {
			n.f.entry(n.below(""), undo)
		}
		return e
	})
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.f.change("rmdir", n.below(name), nil, func() syscall.Errno { return n.LoopbackNode.Rmdir(ctx, name) })
}

func (n *node) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to := newParent.(*node)
	return n.f.change("rename", to.below(newName), nil, func() syscall.Errno {
		undo := n.f.undoRename(n.real(name), to.real(newName))
		e := n.LoopbackNode.Rename(ctx, name, newParent, newName, flags)
		if e == 0 {
			n.f.entry(to.below(""), undo)
		}
		return e
	})
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.f.change("create", n.below(name), nil, func() syscall.Errno {
		var e syscall.Errno
		inode, e = n.LoopbackNode.Link(ctx, target, name, out)
		if e == 0 {
			n.f.entry(n.below(""), undoCreate(n.real(name)))
		}
		return e
	})
	return inode, errno
}

// Fsync is a file's; some kernels ask it of the node.
func (n *node) Fsync(ctx context.Context, fh fs.FileHandle, flags uint32) syscall.Errno {
	if open, ok := fh.(*file); ok {
		return open.Fsync(ctx, flags)
	}
	return syscall.ENOTSUP
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, fuseFlags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &folder{FileReaddirenter: fh.(fs.FileReaddirenter), n: n, inner: fh}, fuseFlags, 0
}

// folder is an open folder.
type folder struct {
	fs.FileReaddirenter
	n     *node
	inner fs.FileHandle
}

func (d *folder) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	return d.inner.(fs.FileSeekdirer).Seekdir(ctx, off)
}

func (d *folder) Releasedir(ctx context.Context, flags uint32) {
	d.inner.(fs.FileReleasedirer).Releasedir(ctx, flags)
}

func (d *folder) Fsyncdir(context.Context, uint32) syscall.Errno {
	path := d.n.below("")
	return d.n.f.change("syncdir", path, nil, func() syscall.Errno {
		d.n.f.syncedDir(path)
		return 0
	})
}

// file is an open file.
type file struct {
	inner fs.FileHandle
	f     *FS
	path  string // when it was opened
	real  string
}

func (h *file) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return h.inner.(fs.FileReader).Read(ctx, dest, off)
}

func (h *file) Write(ctx context.Context, data []byte, off int64) (n uint32, errno syscall.Errno) {
	write := func(part []byte) syscall.Errno {
		h.f.written(h.stat(ctx), h.real, off, len(part))
		var e syscall.Errno
		n, e = h.inner.(fs.FileWriter).Write(ctx, part, off)
		return e
	}
	errno = h.f.change("write", h.path, func() syscall.Errno { return write(data[:len(data)/2]) }, func() syscall.Errno { return write(data) })
	return n, errno
}

func (h *file) stat(ctx context.Context) *fuse.AttrOut {
	var out fuse.AttrOut
	if h.inner.(fs.FileGetattrer).Getattr(ctx, &out) != 0 {
		return nil
	}
	return &out
}

func (h *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	return h.f.change("sync", h.path, nil, func() syscall.Errno {
		if st := h.stat(ctx); st != nil {
			h.f.syncedFile(st.Ino)
		}
		return 0
	})
}

func (h *file) Flush(ctx context.Context) syscall.Errno { return h.inner.(fs.FileFlusher).Flush(ctx) }

func (h *file) Release(ctx context.Context) syscall.Errno {
	return h.inner.(fs.FileReleaser).Release(ctx)
}

func (h *file) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	return h.inner.(fs.FileLseeker).Lseek(ctx, off, whence)
}

func (h *file) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	return syscall.ENOTSUP // programs fall back to truncate, which is followed
}

func exists(path string) bool {
	var st syscall.Stat_t
	return syscall.Lstat(path, &st) == nil
}
