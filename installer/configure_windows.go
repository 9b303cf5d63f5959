package installer

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc/mgr"
)

// recovery is what the service manager does when the service ends without being asked:
// it starts it again after growing pauses, the last of them for ever, and forgets after a
// day without.
var recovery = []mgr.RecoveryAction{
	{Type: mgr.ServiceRestart, Delay: 5 * time.Second},
	{Type: mgr.ServiceRestart, Delay: 30 * time.Second},
	{Type: mgr.ServiceRestart, Delay: 5 * time.Minute},
}

const recoveryReset = 24 * time.Hour

// preshutdown is how long the machine's end waits for the last delivery.
const preshutdown = 20 * time.Second

// Configure sets what a package for Windows Installer cannot set reliably: recovery, a
// delayed start, and the time to stop in. Every start of the service repeats it, so that
// what was changed by hand or got lost is put right. ErrNotInstalled when there is no
// service.
func (s *Service) Configure() error { return configure() }

func configure() error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("configure service: %w", err)
	}
	defer m.Disconnect()
	service, err := m.OpenService(Name)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return ErrNotInstalled
	}
	if err != nil {
		return fmt.Errorf("configure service: %w", err)
	}
	defer service.Close()
	delayed := windows.SERVICE_DELAYED_AUTO_START_INFO{IsDelayedAutoStartUp: 1}
	timeout := uint32(preshutdown.Milliseconds()) // SERVICE_PRESHUTDOWN_INFO is this number
	err = errors.Join(
		service.SetRecoveryActions(recovery, uint32(recoveryReset.Seconds())),
		service.SetRecoveryActionsOnNonCrashFailures(true),
		windows.ChangeServiceConfig2(service.Handle, windows.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, (*byte)(unsafe.Pointer(&delayed))),
		windows.ChangeServiceConfig2(service.Handle, windows.SERVICE_CONFIG_PRESHUTDOWN_INFO, (*byte)(unsafe.Pointer(&timeout))),
	)
	if err != nil {
		return fmt.Errorf("configure service: %w", err)
	}
	return nil
}
