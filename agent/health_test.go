package agent

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/internal/state"
	"tidemark/record"
	"tidemark/spool"
	"tidemark/uploader"
)

// Promise: each thing that keeps what is in scope from being captured or delivered
// gives the right health and a reason that names it, and nothing else does.
func TestHealth(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	account := func(state collector.State, severity string, files ...string) collector.AccountStatus {
		a := collector.AccountStatus{Account: "wxid_a", State: state, Severity: severity, Since: now.Add(-time.Hour), Path: "/wechat/a", LastRead: now.Add(-time.Second)}
		for _, f := range files {
			a.Databases = append(a.Databases, collector.DatabaseStatus{File: f, State: state, Detail: "cause"})
		}
		return a
	}
	for _, c := range []struct {
		name   string
		change func(s *Status)
		want   Health
		words  []string // in the reasons
	}{
		{"all is well", func(*Status) {}, Healthy, nil},
		{"history is being read", func(s *Status) { s.Capture.Accounts[0] = account(collector.StateCatchingUp, record.SeverityInfo) }, Healthy, nil},
		{"an account is not read any more", func(s *Status) { s.Capture.Accounts[0].LastRead = now.Add(-11 * time.Minute) }, Degraded,
			[]string{"account wxid_a: not read as a whole lately", "look at the agent's log"}},
		{"an account was never read", func(s *Status) { s.Capture.Accounts[0].LastRead = time.Time{} }, Degraded, []string{"not read as a whole"}},
		{"one account of two is excluded", func(s *Status) {
			s.Capture.Accounts = append(s.Capture.Accounts, account(collector.StateExcluded, record.SeverityInfo))
		}, Healthy, nil},
		{"key missing", func(s *Status) { s.Capture.Accounts[0] = account(collector.StateKeyMissing, record.SeverityBlind) }, Blind,
			[]string{"wxid_a: key missing", "tidemark keys add --account wxid_a"}},
		{"key rejected names files", func(s *Status) {
			s.Capture.Accounts[0] = account(collector.StateKeyRejected, record.SeverityBlind, "a.db", "b.db", "c.db", "d.db", "e.db")
		}, Blind, []string{"key rejected (a.db, b.db, c.db, 2 more)"}},
		{"one database of several rejects its key", func(s *Status) {
			s.Capture.Accounts[0] = account(collector.StateKeyRejected, record.SeverityDegraded, "message/message_1.db")
		}, Degraded, []string{"message/message_1.db"}},
		{"corrupt database", func(s *Status) {
			s.Capture.Accounts[0] = account(collector.StateCorrupt, record.SeverityDegraded, "message/message_0.db")
		}, Degraded, []string{"corrupt (message/message_0.db: cause)"}},
		{"no account", func(s *Status) { s.Capture.Accounts = nil }, Blind, []string{"no WeChat account is found"}},
		{"every account excluded", func(s *Status) { s.Capture.Accounts[0] = account(collector.StateExcluded, record.SeverityInfo) }, Degraded, []string{"out of scope"}},
		{"first look under way", func(s *Status) { s.Capture = &collector.Status{} }, Degraded, []string{"first look"}},
		{"looking has stopped", func(s *Status) { s.Capture.LastPass = now.Add(-time.Hour) }, Degraded, []string{"no look"}},
		{"folder that may not be searched", func(s *Status) {
			s.Capture.Problems = []collector.Problem{{Path: "/home/b", Cause: "permission denied"}}
		}, Degraded, []string{"/home/b: permission denied"}},
		{"archive unreachable", func(s *Status) {
			s.Delivery.State, s.Delivery.Err = uploader.StateUnreachable, "no route"
			s.Spool.Lanes["messages"] = spool.LaneStats{Batches: 3, Oldest: now.Add(-3 * time.Hour)}
		}, Degraded, []string{"archive unreachable: no route", "waits for 3 h"}},
		{"fork", func(s *Status) { s.Delivery.State = uploader.StateFork }, Degraded, []string{"fork"}},
		{"delivering", func(s *Status) { s.Delivery.State = uploader.StateDelivering }, Healthy, nil},
		{"spool nearly full", func(s *Status) { s.Spool.Bytes, s.Spool.Condition.State = 950, spool.StateFilling }, Degraded, []string{"950 B of 1000 B"}},
		{"spool full", func(s *Status) { s.Spool.Bytes, s.Spool.Condition.State = 990, spool.StateFull }, Blind, []string{"reading has stopped"}},
		{"disk nearly full", func(s *Status) {
			s.Spool.FreeBytes, s.Spool.MinFree, s.Spool.Condition.State = 5, 100, spool.StateLowDisk
		}, Blind,
			[]string{"only 5 B of the disk are free", "spool.min_free"}},
		{"disk fails", func(s *Status) {
			s.Spool.Condition = spool.Condition{State: spool.StateDisk, Cause: "input/output error"}
		}, Blind, []string{"input/output error"}},
		{"spool damaged", func(s *Status) { s.Spool.Condition = spool.Condition{State: spool.StateDamaged, Cause: "page 7"} }, Degraded, []string{"page 7"}},
		{"spool unreadable", func(s *Status) { s.Spool = nil }, Degraded, []string{"spool"}},
		{"the worst comes first", func(s *Status) {
			s.Capture.Accounts = append(s.Capture.Accounts, account(collector.StateCorrupt, record.SeverityDegraded), account(collector.StateKeyMissing, record.SeverityBlind))
		}, Blind, []string{"key missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Status{
				Running: true, At: now, Started: now.Add(-time.Hour),
				Capture:  &collector.Status{Passes: 5, LastPass: now.Add(-time.Second), Accounts: []collector.AccountStatus{account(collector.StateCurrent, record.SeverityInfo)}},
				Delivery: &uploader.Status{State: uploader.StateIdle},
				Spool:    &spool.Stats{Lanes: map[string]spool.LaneStats{}, MaxBytes: 1000},
			}
			c.change(s)
			s.judgeCapture(&config.Config{Poll: 10 * time.Second})
			if s.Delivery != nil {
				s.judgeDelivery()
			}
			s.judgeSpool()
			s.settle()
			if s.Overall != c.want || (len(s.Reasons) == 0) != (c.want == Healthy) {
				t.Fatalf("%s because of %+v, want %s", s.Overall, s.Reasons, c.want)
			}
			for _, r := range s.Reasons {
				if e, listed := state.Get(r.ID); !listed || r.Do == "" || strings.Contains(r.Do, "{") || r.Health.Rank() < Degraded.Rank() {
					t.Errorf("%+v is not as the list of states has it (%+v)", r, e)
				}
			}
			var text strings.Builder
			if err := s.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			for _, w := range c.words {
				if !strings.Contains(text.String(), w) {
					t.Errorf("no %q in\n%s", w, text.String())
				}
			}
			if len(c.words) > 0 && c.want == Blind && !strings.Contains(s.Reasons[0].What+s.Reasons[0].Do, c.words[0]) {
				t.Errorf("the first reason is %+v", s.Reasons[0])
			}
		})
	}
}

// Promise: no answer from an agent is blind, and a user who may not ask is told that
// instead of "not running".
func TestNotRunning(t *testing.T) {
	w := newWorld(t)
	if s := NotRunning(w.config, "test", ErrNotRunning); s.Overall != Blind || s.Running || len(s.Reasons) != 2 {
		t.Errorf("%+v", s)
	}
	w.enrol()
	if s := NotRunning(w.config, "test", ErrNotRunning); s.Overall != Blind || len(s.Reasons) != 1 || !s.Enrolled {
		t.Errorf("%+v", s)
	}
	s := NotRunning(w.config, "test", errors.Join(errors.New("ask agent"), fs.ErrPermission))
	if s.Overall != Blind || !strings.Contains(s.Reasons[0].What, "cannot be told") {
		t.Errorf("%+v", s)
	}
}
