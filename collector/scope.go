package collector

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"tidemark/collector/wechat"
)

// Scope says whose conversations are captured. What it leaves out is never read
// into a record; it leaves daily counts, which name nobody.
type Scope struct {
	Accounts      Rule // usernames of account owners
	Conversations Rule // usernames of peers and rooms, their kinds and labels
}

// Rule is a list of patterns. A name is in when a pattern of Include matches, or
// Include is empty, and none of Exclude does. A pattern is one of
//
//	wxid_lin, *@chatroom   a username, in which * stands for any run of characters and ? for one
//	kind:room              direct, room, official, wecom or builtin
//	label:NAME             contacts that the account's owner has labelled so, * and ? as above
type Rule struct {
	Include []string
	Exclude []string
}

// Kinds are the kinds of conversations that a pattern may name.
var Kinds = []string{"direct", "room", "official", "wecom", "builtin"}

// Validate reports the first pattern that is malformed, or that cannot be of an
// account: accounts have neither kinds nor labels.
func (s Scope) Validate() error {
	for _, p := range slices.Concat(s.Accounts.Include, s.Accounts.Exclude) {
		if strings.HasPrefix(p, "kind:") || strings.HasPrefix(p, "label:") {
			return fmt.Errorf("pattern %q: accounts are chosen by username; kind: and label: are for conversations", p)
		}
	}
	return errors.Join(s.Accounts.Validate(), s.Conversations.Validate())
}

// Validate reports the first pattern that is malformed.
func (r Rule) Validate() error {
	for _, p := range slices.Concat(r.Include, r.Exclude) {
		if kind, ok := strings.CutPrefix(p, "kind:"); ok {
			if !slices.Contains(Kinds, kind) {
				return fmt.Errorf("pattern %q: kind is none of %s", p, strings.Join(Kinds, ", "))
			}
			continue
		}
		name := strings.TrimPrefix(p, "label:")
		if _, err := path.Match(name, ""); err != nil || name == "" {
			return fmt.Errorf("pattern %q is malformed", p)
		}
	}
	return nil
}

// In says whether the username, which its owner has labelled so, is in scope.
func (r Rule) In(username string, labels ...string) bool {
	matches := func(p string) bool { return matchPattern(p, username, labels) }
	return (len(r.Include) == 0 || slices.ContainsFunc(r.Include, matches)) && !slices.ContainsFunc(r.Exclude, matches)
}

func matchPattern(p, username string, labels []string) bool {
	if kind, ok := strings.CutPrefix(p, "kind:"); ok {
		return wechat.ConversationKind(username) == kind
	}
	if label, ok := strings.CutPrefix(p, "label:"); ok {
		return slices.ContainsFunc(labels, func(l string) bool { return match(label, l) })
	}
	return match(p, username)
}

// match is path.Match; what it calls malformed Validate has refused.
func match(pattern, s string) bool {
	ok, _ := path.Match(pattern, s)
	return ok
}

// byLabel says whether labels decide anything.
func (r Rule) byLabel() bool {
	return slices.ContainsFunc(slices.Concat(r.Include, r.Exclude), func(p string) bool { return strings.HasPrefix(p, "label:") })
}

// String is the rule as a person would say it.
func (r Rule) String() string {
	include := "everything"
	if len(r.Include) > 0 && !slices.Equal(r.Include, []string{"*"}) {
		include = strings.Join(r.Include, ", ")
	}
	if len(r.Exclude) == 0 {
		return include
	}
	return include + " without " + strings.Join(r.Exclude, ", ")
}

// String is the scope as a person would say it.
func (s Scope) String() string {
	return "accounts: " + s.Accounts.String() + "; conversations: " + s.Conversations.String()
}

// History says how far back the first capture goes. The zero value takes all.
type History struct {
	None  bool      // nothing that was sent before the first run
	Since time.Time // nothing that was sent before; zero means no limit
}

// ParseHistory reads "all", "none" or a date such as "2026-01-01".
func ParseHistory(s string) (History, error) {
	switch s {
	case "", "all":
		return History{}, nil
	case "none":
		return History{None: true}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return History{}, fmt.Errorf("history %q is none of all, none, and a date such as 2026-01-01", s)
	}
	return History{Since: t}, nil
}
