package collector

import (
	"fmt"
	"path"
	"strings"
	"time"

	"tidemark/collector/wechat"
)

// Scope says whose conversations are captured. What it leaves out is never read
// into a record.
type Scope struct {
	Accounts      Rule // usernames of account owners
	Conversations Rule // usernames of peers and rooms, or "kind:room" and the like
}

// Rule is a list of patterns. A name is in when a pattern of Include matches, or
// Include is empty, and none of Exclude does. A pattern is a username in which *
// stands for any run of characters and ? for one, or "kind:" and one of direct,
// room, official, wecom, builtin.
type Rule struct {
	Include []string
	Exclude []string
}

// Validate reports the first pattern that is malformed.
func (r Rule) Validate() error {
	for _, p := range append(append([]string{}, r.Include...), r.Exclude...) {
		if kind, ok := strings.CutPrefix(p, "kind:"); ok {
			switch kind {
			case "direct", "room", "official", "wecom", "builtin":
				continue
			}
			return fmt.Errorf("pattern %q: kind is none of direct, room, official, wecom, builtin", p)
		}
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return fmt.Errorf("pattern %q is malformed", p)
		}
	}
	return nil
}

// In says whether the username is in scope.
func (r Rule) In(username string) bool {
	matches := func(patterns []string) bool {
		for _, p := range patterns {
			if kind, ok := strings.CutPrefix(p, "kind:"); ok {
				if wechat.ConversationKind(username) == kind {
					return true
				}
			} else if ok, _ := path.Match(p, username); ok {
				return true
			}
		}
		return false
	}
	return (len(r.Include) == 0 || matches(r.Include)) && !matches(r.Exclude)
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
