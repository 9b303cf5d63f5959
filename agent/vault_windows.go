package agent

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

const vaultTitle = "DPAPI"

// systemVault is DPAPI's of the machine. Whoever may read the state folder and run code on
// this machine can unwrap; a copy of the folder elsewhere is worth nothing. Not seen on a
// real machine yet.
func systemVault() vault { return dpapi{} }

type dpapi struct{}

func (dpapi) name() string { return vaultTitle }

const dpapiFlags = windows.CRYPTPROTECT_UI_FORBIDDEN | windows.CRYPTPROTECT_LOCAL_MACHINE

func blob(b []byte) *windows.DataBlob {
	return &windows.DataBlob{Size: uint32(len(b)), Data: unsafe.SliceData(b)}
}

// take copies what the system has given and frees it.
func take(b *windows.DataBlob) []byte {
	defer windows.LocalFree(windows.Handle(unsafe.Pointer(b.Data)))
	return append([]byte{}, unsafe.Slice(b.Data, b.Size)...)
}

func (dpapi) wrap(secret []byte, boundTo string) ([]byte, error) {
	var out windows.DataBlob
	if err := windows.CryptProtectData(blob(secret), nil, blob([]byte(boundTo)), 0, nil, dpapiFlags, &out); err != nil {
		return nil, fmt.Errorf("%s: %w", vaultTitle, err)
	}
	return take(&out), nil
}

func (dpapi) unwrap(sealed []byte, boundTo string) ([]byte, error) {
	var out windows.DataBlob
	if err := windows.CryptUnprotectData(blob(sealed), nil, blob([]byte(boundTo)), 0, nil, dpapiFlags, &out); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", vaultTitle, errVaultLost, err)
	}
	return take(&out), nil
}
