package events

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/internal/state"
)

// The journal gets each event as one datagram with its name, number and fields, and a
// cause with line breaks can't forge a field.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	j, err := openJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &Log{sink: j, logger: slog.New(slog.DiscardHandler)}
	defer l.Close()
	entry, _ := state.Get(state.Account("key missing"))
	l.Entered(entry, state.Blind, "wxid_a", "account wxid_a: key missing\nMESSAGE_ID=forged")
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got := string(buf[:n])
	for _, want := range []string{
		"MESSAGE=account wxid_a: key missing MESSAGE_ID=forged\n", "PRIORITY=3\n", "\nMESSAGE_ID=" + entry.MessageID() + "\n",
		"SYSLOG_IDENTIFIER=tidemark\n", "TIDEMARK_EVENT=account_key_missing\n", "TIDEMARK_EVENT_NUMBER=215\n", "TIDEMARK_ACCOUNT=wxid_a\n", "TIDEMARK_CHANGE=entered\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "\nMESSAGE_ID=") != 1 {
		t.Errorf("a forged field in\n%s", got)
	}
	if _, err := openJournal(path + "-none"); err == nil {
		t.Error("a journal that is not there opens")
	}
}
