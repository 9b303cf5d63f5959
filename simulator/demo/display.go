package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// display is where a view is shown. It is used by one goroutine.
type display interface {
	note(string)     // one line of how far start and stop are
	show(view) error // an error means that nobody can see it
	close()          // back to plain output; more than once is harmless
}

// newDisplay is a live screen for a terminal that can place its cursor, and lines
// for anything else.
func newDisplay(out *os.File) display {
	if _, _, ok := terminalSize(out); ok && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != "" {
		return &screen{out: out, color: os.Getenv("NO_COLOR") == ""}
	}
	return &lines{out: out}
}

// terminalSize is ok only for a terminal that knows its size.
func terminalSize(f *os.File) (width, height int, ok bool) {
	var size struct{ rows, columns, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	return int(size.columns), int(size.rows), errno == 0 && size.columns > 0 && size.rows > 0
}

// What a terminal is told (ECMA-48 and DEC private modes).
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l" // alternate screen, no cursor, no automatic wrapping
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H"
	rest  = "\x1b[K" // erase to the end of the line
	below = "\x1b[J" // and everything below
)

var sgr = [...]string{strong: "\x1b[1m", faint: "\x1b[2m", good: "\x1b[32m", bad: "\x1b[31m"}

const sgrOff = "\x1b[m"

// screen redraws one screen in place.
type screen struct {
	out    *os.File
	color  bool
	active bool
}

func (s *screen) note(text string) { fmt.Fprintf(s.out, "demo: %s\n", text) }

func (s *screen) show(v view) error {
	width, height, ok := terminalSize(s.out)
	if !ok {
		return fmt.Errorf("draw screen: the terminal is gone")
	}
	var b strings.Builder
	if !s.active {
		b.WriteString(enter)
		s.active = true
	}
	b.WriteString(home)
	width-- // in the last column, erasing what is right of the cursor would erase a character
	for i, l := range v.lines(width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		s.line(&b, l, width)
		b.WriteString(rest)
	}
	b.WriteString(below)
	_, err := io.WriteString(s.out, b.String())
	return err
}

// line writes l, cut to the width.
func (s *screen) line(b *strings.Builder, l line, width int) {
	for _, sp := range l {
		text, over := cut(sp.text, width), columns(sp.text) > width
		width -= columns(text)
		if s.color && sp.style != plain && text != "" {
			b.WriteString(sgr[sp.style] + text + sgrOff)
		} else {
			b.WriteString(text)
		}
		if over {
			return
		}
	}
}

func (s *screen) close() {
	if s.active {
		io.WriteString(s.out, leave)
		s.active = false
	}
}

// How often there is a line.
const lineEvery = 3 * time.Second

// lineWidth is where lines of messages are cut.
const lineWidth = 120

// lines tells the same as a log would, a line every few seconds.
type lines struct {
	out    *os.File
	begun  bool
	next   time.Duration
	recall string // id of the last revision told
}

func (l *lines) note(text string) { fmt.Fprintf(l.out, "demo: %s\n", text) }

func (l *lines) show(v view) error {
	var b strings.Builder
	if !l.begun {
		l.begun = true
		b.WriteString("Tidemark demo: a chatting WeChat account, captured into an archive.\n" +
			whatIsReal + "\n" +
			"Look for yourself, in another terminal:\n")
		for _, c := range v.look.commands(lineWidth) {
			fmt.Fprintf(&b, "  %s\n", c)
		}
		b.WriteString("Ctrl-C stops everything and leaves nothing running; the records are then compared.\n")
	}
	if v.elapsed >= l.next {
		l.next = v.elapsed + lineEvery
		fmt.Fprintf(&b, "%s  %d written, %d captured, %d waiting (%s), %d archived; %d recalled, %d kept; ",
			clockText(v.elapsed), v.written, v.captured, v.waiting, bytesText(v.waitingBytes), v.archived, v.recalled, v.kept)
		if v.delays > 0 {
			fmt.Fprintf(&b, "commit to archive p50 %s, p95 %s; ", delayText(v.p50), delayText(v.p95))
		}
		fmt.Fprintf(&b, "log %s entries; agent %s, account %s, delivery %s\n", v.logEntries, v.agent, v.account, v.delivery)
		if v.trouble != "" {
			fmt.Fprintf(&b, "      the last look went wrong: %s\n", printable(v.trouble))
		}
	}
	if r := v.recall; r != nil && r.revision.ID != l.recall {
		l.recall = r.revision.ID
		fmt.Fprintf(&b, "      recalled: the client's database now has: %s\n", printable(r.now))
		fmt.Fprintf(&b, "      the archive still has: %s\n",
			cut(printable(r.original.Sender.label()+": "+r.original.says()), lineWidth-29))
		fmt.Fprintf(&b, "      as message %s, and the recall as revision %s\n", r.original.ID, r.revision.ID)
	}
	_, err := io.WriteString(l.out, b.String())
	return err
}

func (l *lines) close() {}
