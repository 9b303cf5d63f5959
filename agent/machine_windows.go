package agent

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// readMachine asks the registry, the firmware's table, and what the computer is joined to.
func readMachine() machineFacts {
	var f machineFacts
	major, minor, build := windows.RtlGetNtVersionNumbers()
	f.version = fmt.Sprintf("%d.%d.%d", major, minor, build)
	if k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Windows NT\CurrentVersion`, registry.QUERY_VALUE); err == nil {
		defer k.Close()
		if ubr, _, err := k.GetIntegerValue("UBR"); err == nil {
			f.version += fmt.Sprintf(".%d", ubr)
		}
	}
	f.serial = smbiosSerial(firmwareTable())
	var name *uint16
	var status uint32
	if err := windows.NetGetJoinInformation(nil, &name, &status); err == nil {
		defer windows.NetApiBufferFree((*byte)(unsafe.Pointer(name)))
		if status == windows.NetSetupDomainName {
			f.directory = windows.UTF16PtrToString(name)
		}
	}
	return f
}

// firmwareTable is the SMBIOS table as GetSystemFirmwareTable gives it, without its head
// of 8 bytes, or nil.
func firmwareTable() []byte {
	get := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetSystemFirmwareTable")
	if get.Find() != nil {
		return nil
	}
	const provider = 'R'<<24 | 'S'<<16 | 'M'<<8 | 'B'
	n, _, _ := get.Call(provider, 0, 0, 0)
	if n <= 8 || n > 1<<20 {
		return nil
	}
	buf := make([]byte, n)
	m, _, _ := get.Call(provider, 0, uintptr(unsafe.Pointer(&buf[0])), n)
	if m <= 8 || m > n {
		return nil
	}
	return buf[8:m]
}
