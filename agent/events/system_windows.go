package events

import (
	"log/slog"

	"golang.org/x/sys/windows/svc/eventlog"
)

// system is the event log. The source is registered when the service is installed; the
// events of one that is not still arrive, with a note that their text is not known.
func system() (sink, error) {
	l, err := eventlog.Open(Source)
	if err != nil {
		return nil, err
	}
	return &eventLog{l}, nil
}

type eventLog struct{ log *eventlog.Log }

func (l *eventLog) write(e Event) error {
	switch {
	case e.Level >= slog.LevelError:
		return l.log.Error(uint32(e.Number), e.line())
	case e.Level >= slog.LevelWarn:
		return l.log.Warning(uint32(e.Number), e.line())
	}
	return l.log.Info(uint32(e.Number), e.line())
}

func (l *eventLog) close() error { return l.log.Close() }
