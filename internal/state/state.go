// Package state is the one list of named states that an agent, an account, a delivery or
// a spool can be in: what each is called, how bad it is, what it means and what to do,
// in English and Chinese. Status, doctor, heartbeats, metrics, the system's event log and
// docs/states.md all take it from here.
//
// Ids never change their meaning and event numbers are never used again, for dashboards
// and alerts of others rest on them. A state that goes out of use leaves its number unused.
package state

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// ID names a state: lower case letters, digits and underscores.
type ID string

// Severity says how bad a state is by itself.
type Severity string

// The severities, best first. They are the words of a heartbeat too.
const (
	Healthy  Severity = "healthy"  // nothing is wrong
	Degraded Severity = "degraded" // captured, but late or not all
	Blind    Severity = "blind"    // an account, or everything, is not captured
)

// Rank orders severities: the worst has the greatest.
func (s Severity) Rank() int { return slices.Index([]Severity{Healthy, Degraded, Blind}, s) }

// Text is what a person reads. A {word} in it stands for what the state is about.
type Text struct{ EN, ZH string }

// Entry is one state.
type Entry struct {
	ID       ID
	Severity Severity // an account's state may be worse than this, when nothing of the account is captured
	Event    uint16   // number in the Windows event log when the state is entered; 1 to 499, those below 100 are occurrences
	Meaning  Text
	Remedy   Text // empty when nothing is to be done
}

// leftBy is how much greater the event number is by which a state is left.
const leftBy = 500

// Left is the event number in the Windows event log when the state is left.
func (e Entry) Left() uint16 { return e.Event + leftBy }

// MessageID is the journal's name of the state's events, 32 hexadecimal digits: the
// same on every machine, made from the id.
func (e Entry) MessageID() string { return messageID(string(e.ID)) }

func messageID(name string) string {
	sum := sha256.Sum256([]byte("tidemark event " + name))
	return hex.EncodeToString(sum[:16])
}

// Get returns the entry of an id, and whether there is one.
func Get(id ID) (Entry, bool) {
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Entry{ID: id}, false
	}
	return entries[i], true
}

// All lists every state, in the order of the manual. The slice is the caller's.
func All() []Entry { return slices.Clone(entries) }

// Account, Delivery and Spool give the ids of the states by which the collector, the
// uploader and the spool call themselves: "key missing" of an account is
// account_key_missing.
func Account(own string) ID  { return of("account_", own) }
func Delivery(own string) ID { return of("delivery_", own) }
func Spool(own string) ID    { return of("spool_", own) }

func of(prefix, own string) ID { return ID(prefix + strings.ReplaceAll(own, " ", "_")) }

// Occurrence is what happens once and is no state.
type Occurrence struct {
	ID      ID
	Event   uint16 // 1 to 99
	Warn    bool   // an administrator should look
	Meaning Text
}

// MessageID is the journal's name of the occurrence.
func (o Occurrence) MessageID() string { return messageID(string(o.ID)) }

// Occurrences lists them all. The slice is the caller's.
func Occurrences() []Occurrence { return slices.Clone(occurrences) }

// Occurs returns the occurrence of an id, and whether there is one.
func Occurs(id ID) (Occurrence, bool) {
	i := slices.IndexFunc(occurrences, func(o Occurrence) bool { return o.ID == id })
	if i < 0 {
		return Occurrence{ID: id}, false
	}
	return occurrences[i], true
}

// Fill puts values in the place of {words}: pairs of a word without braces and its value.
func Fill(text string, pairs ...string) string {
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text
}
