package state

import (
	"fmt"
	"strings"
)

// Markdown is docs/states.md, which a test holds to it.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Named states

Made from ` + "`internal/state`" + ` by ` + "`go test ./internal/state -update`" + `; a test fails when it is stale.

Everything that ` + "`tidemark status`" + `, ` + "`tidemark doctor`" + `, heartbeats, metrics and the system's event log say of health has one of these ids.
Ids and event numbers never change their meaning.

- **Severity**: *healthy* needs nothing; *degraded* is captured, but late or not all; *blind* means that an account, or everything,
  is not captured. An account's state is *degraded* when it stands at some of the account's databases, and *blind* when it keeps all of
  the account from being captured; the list has the severity that the state has by itself.
- **Event**: the event id in the Windows event log, source ` + "`tidemark`" + `, when the state is entered; when it is left, 500 more.
- **MESSAGE_ID**: the journal's, for both; ` + "`journalctl MESSAGE_ID=…`" + ` finds them.
`)
	for _, g := range []struct{ title, prefix string }{
		{"The agent as a whole", ""}, {"Accounts", "account_"}, {"Delivery", "delivery_"}, {"Spool", "spool_"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| id | severity | meaning | to do | 含义 | 处理 | event | MESSAGE_ID |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n", g.title)
		for _, e := range entries {
			if group(e.ID) != g.prefix {
				continue
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %d | `%s` |\n",
				e.ID, e.Severity, e.Meaning.EN, cell(e.Remedy.EN), e.Meaning.ZH, cell(e.Remedy.ZH), e.Event, e.MessageID())
		}
	}
	b.WriteString("\n## What happens once\n\n| id | what | 含义 | event | MESSAGE_ID |\n| --- | --- | --- | --- | --- |\n")
	for _, o := range occurrences {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %d | `%s` |\n", o.ID, o.Meaning.EN, o.Meaning.ZH, o.Event, o.MessageID())
	}
	return b.String()
}

func group(id ID) string {
	for _, p := range []string{"account_", "delivery_", "spool_"} {
		if strings.HasPrefix(string(id), p) {
			return p
		}
	}
	return ""
}

func cell(s string) string {
	if s == "" {
		return "–"
	}
	return strings.ReplaceAll(s, "|", `\|`)
}
