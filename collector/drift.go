package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidemark/record"
	"tidemark/spool"
)

// Drift is what a client does that this version does not know. It is a state of the
// database it is seen in, of StateUnfamiliar, and an event that says what; each new
// thing is another. What can be kept is kept: unknown columns stand in the rows, the
// bodies of unknown types are in them. Clients name no version in their databases, and
// no other file is read for one: their forms are what is gone by.

// typesFile is where the state of unknown types of messages stands, beside those of
// files.
const typesFile = "message types"

// drift is an error that is none: what is unfamiliar, and notes that do not make it
// another drift when they change.
type drift struct{ what, notes []string }

func (d drift) Error() string { return strings.Join(d.what, ", ") }

// driftMax is how much of it an event says.
const driftMax = 4000

// driftOf gives what is unfamiliar, or "".
func driftOf(err error) string {
	var d drift
	if !errors.As(err, &d) {
		return ""
	}
	s := strings.Join(append(slices.Clip(d.what), d.notes...), ", ")
	if len(s) > driftMax {
		s = strings.ToValidUTF8(s[:driftMax], "") + " …"
	}
	return s
}

// drifted is what is unfamiliar about a shard that is in that state.
func (s *shard) drifted() error {
	if s.state() != StateUnfamiliar {
		return nil
	}
	return s.odd
}

// keepForm remembers a database's fingerprint, and says in the log that a client was
// updated.
func (s *shard) keepForm(ctx context.Context) error {
	if s.form == s.formKept {
		return nil
	}
	key := "g/" + s.a.folder() + "/" + s.file
	was, err := s.a.c.opts.Spool.Cursor(key)
	if err != nil {
		return err
	}
	if string(was) != s.form {
		if err := s.a.c.emit(ctx, nil, spool.Cursor{Key: key, Value: []byte(s.form)}); err != nil {
			return err
		}
		if was != nil {
			s.a.c.log.Info("schema changed", "source", s.a.disc.Path, "db", s.file)
		}
	}
	s.formKept = s.form
	return nil
}

// unknownType notes a message of a type that this version does not know.
func (b *batch) unknownType(n *record.Native) {
	if b.unknown == nil {
		b.unknown = map[[2]int64]int64{}
	}
	b.unknown[[2]int64{n.Type, n.Subtype}]++
}

// settleTypes raises the state of unknown types, and takes it back when this version
// decodes messages in another way than the one that raised it.
func (a *account) settleTypes(ctx context.Context) error {
	if len(a.unknown) == 0 {
		was := a.named[typesFile]
		if was == nil {
			return nil
		}
		if strings.Contains(was.Detail, "decoder "+a.schema.Decoder+":") {
			a.found[typesFile] = *was
			return nil
		}
		return a.settle(ctx, typesFile, StateCurrent, nil)
	}
	types := make([]string, 0, len(a.unknown))
	for n := range a.unknown {
		types = append(types, typeName(n))
	}
	slices.Sort(types)
	const most = 20
	if len(types) > most {
		types = append(types[:most], fmt.Sprintf("and %d more", len(types)-most))
	}
	types[0] = "decoder " + a.schema.Decoder + ": type " + types[0]
	return a.settle(ctx, typesFile, StateUnfamiliar, drift{what: types})
}

func typeName(n [2]int64) string {
	if n[1] == 0 {
		return fmt.Sprint(n[0])
	}
	return fmt.Sprintf("%d/%d", n[0], n[1])
}

// TypeCount is how many messages are of one of the client's own types.
type TypeCount struct {
	Type     int64 `json:"type"`
	Subtype  int64 `json:"subtype"`
	Messages int64 `json:"messages"`
}

// typeCounts sorts counts, the most frequent first.
func typeCounts(counts map[[2]int64]int64) []TypeCount {
	var out []TypeCount
	for n, count := range counts {
		out = append(out, TypeCount{Type: n[0], Subtype: n[1], Messages: count})
	}
	slices.SortFunc(out, func(a, b TypeCount) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Subtype, b.Subtype))
	})
	return out
}
