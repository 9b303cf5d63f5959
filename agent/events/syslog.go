//go:build !windows

package events

import (
	"log/slog"
	"log/syslog"
)

type syslogSink struct{ w *syslog.Writer }

func openSyslog() (sink, error) {
	w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, Source)
	if err != nil {
		return nil, err
	}
	return &syslogSink{w}, nil
}

func (s *syslogSink) write(e Event) error {
	switch {
	case e.Level >= slog.LevelError:
		return s.w.Err(e.line())
	case e.Level >= slog.LevelWarn:
		return s.w.Warning(e.line())
	}
	return s.w.Info(e.line())
}

func (s *syslogSink) close() error { return s.w.Close() }
