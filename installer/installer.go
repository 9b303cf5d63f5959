// Package installer makes the agent a service of the operating system: systemd's,
// launchd's or the Windows service manager's, through kardianos/service. The
// service is visible under the name Tidemark in the system's list, and whoever
// administers the machine stops and removes it as any other.
//
// What the service runs is exactly "tidemark run --config FILE". Where the library
// knows no service system, such as in a container, the operations fail with
// ErrNoSystem and change nothing.
package installer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/kardianos/service"
)

// Name is the service's name for the system's own tools.
const Name = "tidemark"

// Ordinary refusals.
var (
	ErrNoSystem     = errors.New("this system has no service manager that is supported")
	ErrNotInstalled = errors.New("the service is not installed")
	ErrPackaged     = errors.New("the service belongs to a package of this system")
)

// Options say what the service runs.
type Options struct {
	Config     string // absolute path of the configuration file; "" leaves the default
	Executable string // "" means this program
	Writable   string // a folder beside the usual state folder that the service may write to
}

// Service is the system's service for the agent. Its methods need the rights of an
// administrator, but for Status.
type Service struct{ s service.Service }

// New describes the service; nothing is changed.
func New(o Options) (*Service, error) {
	if o.Executable == "" {
		path, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		o.Executable = path
	}
	s, err := service.New(idle{}, definition(o))
	if errors.Is(err, service.ErrNoServiceSystemDetected) {
		return nil, ErrNoSystem
	}
	if err != nil {
		return nil, fmt.Errorf("describe service: %w", err)
	}
	return &Service{s}, nil
}

// definition is what the system is told.
func definition(o Options) *service.Config {
	return &service.Config{
		Name: Name, DisplayName: "Tidemark", Description: description, Executable: o.Executable, Arguments: o.arguments(),
		Option: service.KeyValue{
			"SystemdScript": Unit(o), "LaunchdConfig": LaunchDaemon(o),
			"DelayedAutoStart": true, "OnFailure": "restart", "OnFailureDelayDuration": "5s", // Windows
		},
	}
}

// Install adds the service and sets it to start with the system; it does not start
// it. ErrPackaged says that a package has done so.
func (s *Service) Install() error {
	if s.Packaged() {
		return ErrPackaged
	}
	return s.do("install", s.s.Install)
}

// Uninstall removes the service, stopping it first. State and configuration stay.
// ErrPackaged says that this is the package's business.
func (s *Service) Uninstall() error {
	if s.Packaged() {
		return ErrPackaged
	}
	if err := s.StopRunning(); err != nil {
		return err
	}
	return s.do("uninstall", s.s.Uninstall)
}

// StopRunning stops the service if there is one that runs.
func (s *Service) StopRunning() error {
	if running, err := s.Running(); err != nil || !running {
		return nil // who cannot be asked cannot be stopped either; a lock on the state tells
	}
	return s.Stop()
}

// packagedUnits are where packages put the unit.
var packagedUnits = []string{"/usr/lib/systemd/system/tidemark.service", "/lib/systemd/system/tidemark.service"}

// Packaged says that a package has made the service.
func (s *Service) Packaged() bool {
	return slices.ContainsFunc(packagedUnits, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// Start starts the service.
func (s *Service) Start() error { return s.do("start", s.s.Start) }

// Stop stops the service in good order.
func (s *Service) Stop() error { return s.do("stop", s.s.Stop) }

func (s *Service) do(verb string, f func() error) error {
	if err := f(); err != nil {
		if errors.Is(err, service.ErrNotInstalled) {
			return ErrNotInstalled
		}
		return fmt.Errorf("%s service: %w", verb, err)
	}
	return nil
}

// Running says whether the service runs. The error wraps ErrNotInstalled when there
// is none.
func (s *Service) Running() (bool, error) {
	status, err := s.s.Status()
	switch {
	case errors.Is(err, service.ErrNotInstalled):
		return false, ErrNotInstalled
	case err != nil:
		return false, fmt.Errorf("ask for service: %w", err)
	}
	return status == service.StatusRunning, nil
}

// Manager names the system's service manager.
func (s *Service) Manager() string {
	if p := s.s.Platform(); p != "" {
		return p
	}
	return runtime.GOOS
}

// idle stands where the library wants the program: for the operations above it is
// not run.
type idle struct{}

func (idle) Start(service.Service) error { return nil }
func (idle) Stop(service.Service) error  { return nil }

// ErrStopped is the context's cause when the system's service manager ends Run.
var ErrStopped = errors.New("stopped by the service manager")
