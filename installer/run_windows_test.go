package installer

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/windows/svc"
)

// managed runs a handler and answers as the manager does.
func managed(t *testing.T, run func(context.Context) error, command svc.Cmd) (h *handler, states []svc.Status, code uint32) {
	t.Helper()
	requests, status := make(chan svc.ChangeRequest), make(chan svc.Status)
	h = &handler{ctx: t.Context(), run: run}
	done := make(chan uint32)
	go func() {
		_, code := h.Execute(nil, requests, status)
		done <- code
	}()
	for {
		select {
		case s := <-status:
			states = append(states, s)
			if s.State == svc.Running && command != 0 {
				requests <- svc.ChangeRequest{Cmd: svc.Interrogate, CurrentStatus: s}
				states = append(states, <-status)
				requests <- svc.ChangeRequest{Cmd: command}
			}
		case code = <-done:
			return h, states, code
		}
	}
}

// Promise: stopping the service, and the end of the machine, end the work's context for a
// reason that can be told; the manager hears that the stop is under way, and of the
// stop only when the work has ended, with whether it ended well.
func TestServiceStops(t *testing.T) {
	failed := errors.New("failed")
	for _, command := range []svc.Cmd{svc.Stop, svc.Shutdown, svc.PreShutdown} {
		for _, result := range []error{nil, failed} {
			ended := false
			h, states, code := managed(t, func(ctx context.Context) error {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), ErrStopped) {
					t.Errorf("%d: cause %v", command, context.Cause(ctx))
				}
				ended = true
				return result
			}, command)
			if !ended || !errors.Is(h.err, result) || (code == 0) != (result == nil) {
				t.Errorf("%d, %v: ended %t with %v, code %d", command, result, ended, h.err, code)
			}
			var got []svc.State
			for _, s := range states {
				got = append(got, s.State)
			}
			if len(got) < 4 || got[0] != svc.StartPending || got[1] != svc.Running || got[2] != svc.Running || got[3] != svc.StopPending {
				t.Errorf("%d: states %v", command, got)
			}
			if a := states[1].Accepts; a&svc.AcceptStop == 0 || a&svc.AcceptPreShutdown == 0 {
				t.Errorf("accepts %b", a)
			}
		}
	}
}

// Promise: a service that ends without being asked ends with a code for which the
// manager starts it again, whatever the work returned.
func TestServiceEndsByItself(t *testing.T) {
	for _, result := range []error{nil, errors.New("crash")} {
		if h, _, code := managed(t, func(context.Context) error { return result }, 0); code == 0 || !errors.Is(h.err, result) {
			t.Errorf("%v: code %d, %v", result, code, h.err)
		}
	}
}
