package events

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
)

// journalSocket takes datagrams in the journal's native protocol,
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
const journalSocket = "/run/systemd/journal/socket"

// system is the journal, or syslog where there is none.
func system() (sink, error) {
	j, err := openJournal(journalSocket)
	if err == nil {
		return j, nil
	}
	s, serr := openSyslog()
	if serr != nil {
		return nil, errors.Join(err, serr)
	}
	return s, nil
}

type journal struct{ conn *net.UnixConn }

func openJournal(path string) (sink, error) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &journal{conn}, nil
}

// write sends one datagram. Values are one line each, so that the simple form of the
// protocol is enough.
func (j *journal) write(e Event) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "MESSAGE=%s\nPRIORITY=%d\nMESSAGE_ID=%s\nSYSLOG_IDENTIFIER=%s\nTIDEMARK_EVENT=%s\nTIDEMARK_EVENT_NUMBER=%d\n",
		e.Text, priority(e.Level), e.MessageID, Source, e.ID, e.Number)
	for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
		fmt.Fprintf(&b, "TIDEMARK_%s=%s\n", strings.ToUpper(k), e.Fields[k])
	}
	_, err := j.conn.Write(b.Bytes())
	return err
}

func (j *journal) close() error { return j.conn.Close() }

// priority is syslog's.
func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return 3
	case level >= slog.LevelWarn:
		return 4
	}
	return 6
}
