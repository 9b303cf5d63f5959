package collector

import (
	"context"
	"encoding/json"
	"strings"

	"tidemark/collector/wechat"
	"tidemark/record"
	"tidemark/spool"
)

// What was sent while its conversation was out of scope stays out: its rows are
// counted and passed, so that nothing private is captured when a rule or a label
// changes later. A conversation that comes into scope is captured from then on; one
// that goes out of it is not any more, and its captured rows are not looked at again.

// inScope says whether a conversation is captured.
func (a *account) inScope(username string) bool {
	return a.c.opts.Scope.Conversations.In(username, a.known.Labels(username)...)
}

// undecided says that a conversation is out of scope only for as long as nobody knows
// whose it is: it waits, instead of being passed.
func undecided(username string) bool { return strings.HasPrefix(username, wechat.UnresolvedPrefix) }

// learnPatterns makes the usernames of the rules known, so that a conversation that is
// left out by name is so even where only its hash stands.
func (a *account) learnPatterns() {
	r := a.c.opts.Scope.Conversations
	for _, list := range [][]string{r.Include, r.Exclude} {
		for _, p := range list {
			if !strings.ContainsAny(p, `*?[\`) && !strings.HasPrefix(p, "kind:") && !strings.HasPrefix(p, "label:") {
				a.learn(p)
			}
		}
	}
}

// scopeKept is the scope of the last run, in the spool under "o".
type scopeKept struct {
	Rules  string `json:"rules"`
	Digest string `json:"digest"`
}

// recordScope records that what is captured was configured anew, since the last run or,
// at the first, against everything.
func (c *Collector) recordScope(ctx context.Context) error {
	const key = "o"
	value, err := c.opts.Spool.Cursor(key)
	if err != nil {
		return err
	}
	everything := Scope{}.String()
	was := scopeKept{everything, short(everything)}
	known := json.Unmarshal(value, &was) == nil
	now := scopeKept{c.opts.Scope.String(), short(c.opts.Scope.String())}
	if now == was && known {
		return nil
	}
	var events []*record.Record
	if now != was {
		e := c.event(record.EventScopeChanged, record.SeverityInfo)
		e.Detail = map[string]string{"rules": now.Rules, "digest": now.Digest}
		if known {
			e.Detail["old_rules"], e.Detail["old_digest"] = was.Rules, was.Digest
		}
		events = append(events, e)
	}
	b, _ := json.Marshal(now) // plain data, cannot fail
	if err := c.emit(ctx, events, spool.Cursor{Key: key, Value: b}); err != nil {
		return err
	}
	if len(events) > 0 && known && c.opts.ScopeChanged != nil {
		c.opts.ScopeChanged()
	}
	return nil
}

const (
	scopeIn  = "in"
	scopeOut = "out"
)

// moveScope records the conversations that a change of labels moved into the scope or
// out of it.
func (a *account) moveScope(ctx context.Context) error {
	moved := map[string]string{}
	a.known.Usernames(func(username string) {
		key := a.book.key(username, "scope")
		was := a.book.marks[key]
		captured := a.book.marks[a.book.key(username, metConversation)] != ""
		switch {
		case was != "":
		case captured:
			was = scopeIn
		case a.book.marks[a.book.key(username, metOutside)] != "":
			was = scopeOut
		default:
			return
		}
		now := scopeOut
		if a.inScope(username) {
			now = scopeIn
		}
		if now != was {
			moved[username] = now
		}
	})
	for _, username := range sortedKeys(moved) {
		key, now := a.book.key(username, "scope"), moved[username]
		var events []*record.Record
		if a.c.opts.Scope.Conversations.byLabel() {
			e := a.c.event(record.EventScopeChanged, record.SeverityInfo)
			e.Account, e.Client, e.Conversation = a.party(), a.client(), a.conversation(username)
			e.Detail = map[string]string{"conversation": now, "cause": "labels"}
			events = append(events, e)
		}
		if err := a.c.emit(ctx, events, spool.Cursor{Key: a.book.prefix + key, Value: []byte(now)}); err != nil {
			return err
		}
		a.book.marks[key] = now
	}
	return nil
}
