// Package events tells the system's own log what an administrator should know of the
// agent: states entered and left, starts and stops, enrolment, quarantine, changes of the
// scope. It is the Windows event log, the systemd journal, or syslog. Numbers and names of
// events are those of docs/states.md and never change their meaning.
//
// There is no content and no key in any event; an account stands by its id.
package events

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"unicode"

	"tidemark/internal/state"
)

// Source is what the events stand under.
const Source = "tidemark"

// Off is above every level: nothing is told.
const Off slog.Level = 100

// Event is one entry.
type Event struct {
	ID        state.ID   // of the state or occurrence
	Number    uint16     // in the Windows event log
	MessageID string     // in the journal
	Level     slog.Level // Info, Warn or Error
	Text      string     // one line
	Fields    map[string]string
}

// sink is one system's log.
type sink interface {
	write(Event) error
	close() error
}

// Log tells events of at least a level. Its methods may be called concurrently, and on
// nil, which tells nothing.
type Log struct {
	level  slog.Level
	sink   sink
	logger *slog.Logger
}

// Open opens the system's log. When there is none, the events are only the logger's.
func Open(level slog.Level, logger *slog.Logger) *Log {
	if level >= Off {
		return nil
	}
	s, err := system()
	if err != nil {
		logger.Info("the system's event log is not available", "err", err)
	}
	return &Log{level: level, sink: s, logger: logger}
}

// Close closes it.
func (l *Log) Close() error {
	if l == nil || l.sink == nil {
		return nil
	}
	return l.sink.close()
}

// Entered tells that a state began. Text says what is particular to this device.
func (l *Log) Entered(e state.Entry, severity state.Severity, account, text string) {
	level := slog.LevelInfo
	switch severity {
	case state.Degraded:
		level = slog.LevelWarn
	case state.Blind:
		level = slog.LevelError
	}
	l.tell(Event{ID: e.ID, Number: e.Event, MessageID: e.MessageID(), Level: level, Text: text, Fields: fields("change", "entered", "severity", string(severity), "account", account)})
}

// Left tells that a state ended.
func (l *Log) Left(e state.Entry, account string) {
	text := fmt.Sprintf("no longer: %s", e.Meaning.EN)
	if account != "" {
		text = fmt.Sprintf("account %s: %s", account, text)
	}
	l.tell(Event{ID: e.ID, Number: e.Left(), MessageID: e.MessageID(), Level: slog.LevelInfo, Text: text, Fields: fields("change", "left", "account", account)})
}

// Occurred tells what happens once. Pairs are names and values of what is particular.
func (l *Log) Occurred(id state.ID, pairs ...string) {
	o, _ := state.Occurs(id)
	level := slog.LevelInfo
	if o.Warn {
		level = slog.LevelWarn
	}
	text := o.Meaning.EN
	for i := 0; i+1 < len(pairs); i += 2 {
		text += fmt.Sprintf(" %s: %s.", pairs[i], pairs[i+1])
	}
	l.tell(Event{ID: o.ID, Number: o.Event, MessageID: o.MessageID(), Level: level, Text: text, Fields: fields(pairs...)})
}

func (l *Log) tell(e Event) {
	if l == nil || e.Level < l.level {
		return
	}
	e.Text = clean(e.Text)
	for k, v := range e.Fields {
		e.Fields[k] = clean(v)
	}
	l.logger.Debug("event", "reason", string(e.ID), "count", e.Number)
	if l.sink == nil {
		return
	}
	if err := l.sink.write(e); err != nil {
		l.logger.Debug("an event could not be told to the system", "err", err)
	}
}

// fields makes a map of pairs, without empty values.
func fields(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

// clean keeps an event one line of bounded length: causes come from the system and the
// network.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// line is an event for a log that knows no fields.
func (e *Event) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s [%s", e.Text, e.ID)
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		fmt.Fprintf(&b, " %s=%q", k, e.Fields[k])
	}
	b.WriteString("]")
	return b.String()
}
