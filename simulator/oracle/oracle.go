// Package oracle keeps and judges the truth about a simulated account: every change
// that was committed to its message databases, and when.
//
// An oracle is a file of JSON lines, appended to and never rewritten:
//
//	{"op":"begin","n":7,"change":{"op":"insert","n":7,…}}   before COMMIT
//	{"op":"commit","n":7,"at":"2026-11-23T08:00:00.1Z"}     after it
//	{"op":"abort","n":7,"at":…}                             instead, if it did not happen
//
// Changes are numbered from 1 without holes, in the order of their transactions. A
// commit or abort line may carry "through": it then decides all changes from n to
// through. Whoever dies by SIGKILL between the two lines leaves changes undecided:
// Open returns them, and the database tells what became of them; their commit
// lines say "recovered", and their time is the time of finding out. The file is
// not synced: it survives its process, not a power cut.
//
// A half-written last line, which SIGKILL can leave, belongs to no one and is cut off.
package oracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"
)

// The kinds of change.
const (
	Insert     = "insert"     // a new message
	Recall     = "recall"     // a message's row became the notice of its recall
	ServerID   = "server_id"  // an own message got its server id and status
	Recompress = "recompress" // a plain text was rewritten as zstd; same meaning
	Status     = "status"     // counters in a row were rewritten; same meaning
	Amend      = "amend"      // a row was rewritten with another meaning, as Change says: file, status or content
	Delete     = "delete"     // a row went
	Clear      = "clear"      // all rows of a conversation in a table went
	Migrate    = "migrate"    // a message of another generation's database was imported, with its server id
	Vanish     = "vanish"     // rows came and went within one commit: from LocalID through Through
	Recreate   = "recreate"   // a file was made anew with another salt and the same rows
	Drift      = "drift"      // the client is a newer one: Change says in what
	Contact    = "contact"    // a person's entry in the address book; Conversation names the person
	Room       = "room"       // a room's entry
)

// ContactState is what a contact's record must say.
type ContactState struct {
	Nick   string   `json:"nick"`
	Remark string   `json:"remark"`
	Labels []string `json:"labels,omitempty"`
}

// RoomState is what a room's record must say.
type RoomState struct {
	Name    string   `json:"name"`
	Owner   string   `json:"owner"`
	Members []string `json:"members"` // usernames, the account's owner among them
}

// Media is what must become of a file of a message. One without a role may be captured
// or not.
type Media struct {
	Role   string `json:"role,omitempty"`
	State  string `json:"state"`
	Item   string `json:"item,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Name   string `json:"name,omitempty"`
}

// Change is one change, of one message unless its op says otherwise; then the fields of
// a message that mean nothing are empty. 64-bit numbers are decimal strings.
type Change struct {
	Op           string `json:"op"`
	N            int64  `json:"n"`
	File         string `json:"file"` // relative to the folder of databases, with slashes
	Table        string `json:"table"`
	LocalID      string `json:"local_id"`
	ServerID     string `json:"server_id"` // as stored after the change; "0" before the server answered
	Conversation string `json:"conversation"`
	Sender       string `json:"sender"`
	Self         bool   `json:"self"`
	Type         int64  `json:"type"`        // local_type after the change
	CreateTime   int64  `json:"create_time"` // Unix seconds
	SortSeq      string `json:"sort_seq"`
	Text         string `json:"text"` // decoded; of a recall, the notice as stored; of another kind than text what its record's text must be, "" for no promise

	Kind     string         `json:"kind,omitempty"`    // Tidemark's type; "" promises none but that of a text
	Content  string         `json:"content,omitempty"` // decoded, where it is not the text
	Change   string         `json:"change,omitempty"`  // of amend: the change that a revision names
	Expect   map[string]any `json:"expect,omitempty"`  // members that the record must have
	Media    []Media        `json:"media,omitempty"`
	Mentions []string       `json:"mentions,omitempty"`
	QuoteOf  string         `json:"quote_of,omitempty"` // server id of the quoted message

	Through string        `json:"through,omitempty"` // of vanish, the last local id
	Contact *ContactState `json:"contact,omitempty"`
	Room    *RoomState    `json:"room,omitempty"`
}

// line is any line of the file.
type line struct {
	Op        string    `json:"op"`
	N         int64     `json:"n"`
	Through   int64     `json:"through,omitempty"`
	At        time.Time `json:"at,omitzero"`
	Recovered bool      `json:"recovered,omitempty"`
	Change    *Change   `json:"change,omitempty"`
}

const (
	opBegin  = "begin"
	opCommit = "commit"
	opAbort  = "abort"
)

// Log appends to an oracle. A nil Log numbers nothing and writes nothing. Its
// methods may be called from any goroutine.
type Log struct {
	mu   sync.Mutex
	f    *os.File
	next int64
}

// Open opens or creates the oracle at path and returns the changes whose outcome
// is not in it. An empty path gives a nil Log.
func Open(path string) (*Log, []Change, error) {
	if path == "" {
		return nil, nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("open oracle: %w", err)
	}
	l := &Log{f: f, next: 1}
	undecided := map[int64]Change{}
	whole, err := scan(f, func(ln line) error {
		switch ln.Op {
		case opBegin:
			undecided[ln.N] = *ln.Change
			l.next = ln.N + 1
		default:
			for n := ln.N; n <= max(ln.N, ln.Through); n++ {
				delete(undecided, n)
			}
		}
		return nil
	})
	if err == nil {
		err = f.Truncate(whole)
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("open oracle: %w", err)
	}
	open := make([]Change, 0, len(undecided))
	for _, c := range undecided {
		open = append(open, c)
	}
	slices.SortFunc(open, func(a, b Change) int { return int(a.N - b.N) })
	return l, open, nil
}

// Begin numbers the changes and writes their begin lines. It returns the first
// number; the others follow it.
func (l *Log) Begin(changes ...Change) (int64, error) {
	if l == nil || len(changes) == 0 {
		return 0, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.next
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for i := range changes {
		c := changes[i]
		c.N = l.next
		l.next++
		if err := enc.Encode(line{Op: opBegin, N: c.N, Change: &c}); err != nil {
			return 0, fmt.Errorf("write oracle: %w", err)
		}
	}
	return first, l.write(buf.Bytes())
}

// Commit says that the changes from first on, count of them, were committed at t.
func (l *Log) Commit(first int64, count int, t time.Time) error {
	return l.decide(line{Op: opCommit, N: first, At: t}, count)
}

// Recovered says of one change what the database showed after a crash.
func (l *Log) Recovered(n int64, committed bool, t time.Time) error {
	op := opAbort
	if committed {
		op = opCommit
	}
	return l.decide(line{Op: op, N: n, At: t, Recovered: true}, 1)
}

// Abort says that the changes from first on, count of them, did not happen.
func (l *Log) Abort(first int64, count int, t time.Time) error {
	return l.decide(line{Op: opAbort, N: first, At: t}, count)
}

func (l *Log) decide(ln line, count int) error {
	if l == nil || count == 0 {
		return nil
	}
	ln.At = ln.At.UTC()
	if count > 1 {
		ln.Through = ln.N + int64(count) - 1
	}
	b, err := json.Marshal(ln)
	if err != nil {
		return fmt.Errorf("write oracle: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(append(b, '\n'))
}

// write appends b in one call. The caller holds l.mu.
func (l *Log) write(b []byte) error {
	if _, err := l.f.Write(b); err != nil {
		return fmt.Errorf("write oracle: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	return l.f.Close()
}

// scan calls fn for each whole line of r and returns the length of all of them.
func scan(r io.Reader, fn func(line) error) (int64, error) {
	br := bufio.NewReaderSize(r, 1<<20)
	var whole int64
	for number := 1; ; number++ {
		b, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil // what is left is not a whole line
		}
		if err != nil {
			return whole, err
		}
		var ln line
		if err := json.Unmarshal(b, &ln); err != nil {
			return whole, fmt.Errorf("line %d: %w", number, err)
		}
		if ln.Op == opBegin && ln.Change == nil {
			return whole, fmt.Errorf("line %d: begin without a change", number)
		}
		if ln.Op != opBegin && ln.Op != opCommit && ln.Op != opAbort {
			return whole, fmt.Errorf("line %d: unknown op", number)
		}
		if err := fn(ln); err != nil {
			return whole, fmt.Errorf("line %d: %w", number, err)
		}
		whole += int64(len(b))
	}
}

// Committed is a change that happened.
type Committed struct {
	Change
	At        time.Time
	Recovered bool // At is when this was found out, later than the commit
}

// Read calls fn for each committed change in the oracle, in commit order, and returns
// the changes that are still undecided, in no order.
func Read(r io.Reader, fn func(Committed) error) (undecided []Change, err error) {
	pending := map[int64]Change{}
	_, err = scan(r, func(ln line) error {
		if ln.Op == opBegin {
			pending[ln.N] = *ln.Change
			return nil
		}
		for n := ln.N; n <= max(ln.N, ln.Through); n++ {
			c, ok := pending[n]
			if !ok {
				return fmt.Errorf("%s of change %d, which has not begun or is decided", ln.Op, n)
			}
			delete(pending, n)
			if ln.Op == opCommit {
				if err := fn(Committed{c, ln.At, ln.Recovered}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read oracle: %w", err)
	}
	return slices.Collect(maps.Values(pending)), nil
}
