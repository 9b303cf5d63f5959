package writer

// SQLite's unix VFS reaches the operating system through a table of system calls
// that a program may replace. Ours leaves out a truncation to zero bytes while the
// calling thread has asked for it, which only Client's restart does; everything
// else goes through.
//
// SQLite itself is compiled into the SQLCipher package; its one function we need
// is declared weak, so that this package links on its own and finds it in the
// whole program. The struct is the public, stable layout of sqlite3_vfs.

/*
#include <stddef.h>
#include <unistd.h>
#include <sys/types.h>

typedef void (*tm_syscall)(void);
typedef struct tm_vfs {
	int iVersion, szOsFile, mxPathname;
	struct tm_vfs *pNext;
	const char *zName;
	void *pAppData;
	void (*untilGetLastError[12])(void);
	void (*xCurrentTimeInt64)(void);
	int (*xSetSystemCall)(struct tm_vfs *, const char *, tm_syscall);
} tm_vfs;

extern __attribute__((weak)) tm_vfs *sqlite3_vfs_find(const char *);
extern __attribute__((weak)) int sqlite3_initialize(void);

static __thread int tm_keep_wal;

static int tm_ftruncate(int fd, off_t size) {
	if (size == 0 && tm_keep_wal) return 0;
	return ftruncate(fd, size);
}

static void tm_keep(int on) { tm_keep_wal = on; }

static int tm_install(void) {
	tm_vfs *vfs;
	if (sqlite3_vfs_find == NULL || sqlite3_initialize == NULL) return -1;
	if (sqlite3_initialize() != 0) return -2;
	vfs = sqlite3_vfs_find(NULL);
	if (vfs == NULL || vfs->iVersion < 3 || vfs->xSetSystemCall == NULL) return -3;
	return vfs->xSetSystemCall(vfs, "ftruncate", (tm_syscall)tm_ftruncate);
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync"
)

// install replaces SQLite's ftruncate, once per process.
var install = sync.OnceValue(func() error {
	if rc := C.tm_install(); rc != 0 {
		return fmt.Errorf("replace sqlite's ftruncate: code %d", int(rc))
	}
	return nil
})

// keepingWAL runs fn while truncations to zero bytes by this goroutine do nothing.
func keepingWAL(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.tm_keep(1)
	defer C.tm_keep(0)
	return fn()
}
