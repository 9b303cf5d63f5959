package events

import (
	"log/slog"
	"strings"
	"testing"

	"tidemark/internal/state"
)

// memory is a system's log in a test.
type memory struct{ events []Event }

func (m *memory) write(e Event) error { m.events = append(m.events, e); return nil }
func (m *memory) close() error        { return nil }

// An event is of the level that its state deserves, is left out below the level that is
// set, and is one bounded line whatever its cause was.
func TestLevels(t *testing.T) {
	entry, _ := state.Get(state.NoAccount)
	for level, want := range map[slog.Level]int{slog.LevelInfo: 5, slog.LevelWarn: 3, slog.LevelError: 1} {
		m := new(memory)
		l := &Log{level: level, sink: m, logger: slog.New(slog.DiscardHandler)}
		l.Occurred(state.Started, "version", "1\n2\x1b[2J")
		l.Occurred(state.NotCleanly)
		l.Entered(entry, state.Blind, "", "no account\nat all"+strings.Repeat("x", 2000))
		l.Entered(entry, state.Degraded, "wxid_a", "some")
		l.Left(entry, "wxid_a")
		if len(m.events) != want {
			t.Errorf("level %s: %d events, want %d", level, len(m.events), want)
		}
		for _, e := range m.events {
			if strings.ContainsAny(e.line(), "\n\x1b") || len(e.Text) > 1100 || e.Number == 0 || len(e.MessageID) != 32 {
				t.Errorf("%+v", e)
			}
		}
	}
	var none *Log
	none.Occurred(state.Started)
	if err := none.Close(); err != nil || Open(Off, slog.Default()) != nil {
		t.Error("Off is not off")
	}
}

// Entering and leaving have different numbers, and the same name in the journal.
func TestNumbers(t *testing.T) {
	m := new(memory)
	l := &Log{sink: m, logger: slog.New(slog.DiscardHandler)}
	entry, _ := state.Get(state.NoAccount)
	l.Entered(entry, state.Blind, "", "a")
	l.Left(entry, "")
	in, out := m.events[0], m.events[1]
	if in.Number != 113 || out.Number != 613 || in.MessageID != out.MessageID || in.Fields["change"] != "entered" || out.Fields["change"] != "left" {
		t.Errorf("%+v, %+v", in, out)
	}
}
