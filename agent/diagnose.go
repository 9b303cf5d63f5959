package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"tidemark/agent/config"
	"tidemark/collector"
	"tidemark/collector/discover"
)

// Diagnosis is what support needs to know of a device: the form of its databases and
// the state of capture. There is no content in it, no username, no path and no key.
type Diagnosis struct {
	Version  string                `json:"version"`
	OS       string                `json:"os"`
	Arch     string                `json:"arch"`
	Running  bool                  `json:"running"` // an agent answers
	Overall  Health                `json:"overall,omitempty"`
	Problems int                   `json:"problems"` // places that could not be searched for accounts
	Accounts []collector.Diagnosis `json:"accounts"`
	Capture  []CaptureDiagnosis    `json:"capture"` // of the running agent
}

// CaptureDiagnosis is how the capture of an account stands.
type CaptureDiagnosis struct {
	Account   string                `json:"account"` // as in Accounts
	State     collector.State       `json:"state"`
	Severity  string                `json:"severity"`
	Messages  int64                 `json:"messages"` // since the agent started
	Revisions int64                 `json:"revisions"`
	Unknown   []collector.TypeCount `json:"unknown,omitempty"`
	States    map[string]int        `json:"states"` // of its databases: how many are in which
}

// Diagnose looks at every account of this device. It works beside a running agent and
// writes nothing.
func Diagnose(ctx context.Context, c *config.Config, version string) (*Diagnosis, error) {
	ring, err := KeyRing(c)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails, see crypto/rand
	if e, err := readEnrolment(c); err == nil {
		secret = e.identity.Secret("diagnosis")
	}
	found, problems := discover.Find(c.Sources)
	d := &Diagnosis{Version: version, OS: runtime.GOOS, Arch: runtime.GOARCH, Problems: len(problems), Capture: []CaptureDiagnosis{}}
	if d.Accounts, err = collector.Diagnose(ctx, found, ring, secret); err != nil {
		return nil, err
	}
	s, err := FetchStatus(ctx, c.StateDir)
	if err != nil || s.Capture == nil {
		return d, nil
	}
	d.Running, d.Overall = true, s.Overall
	for _, a := range s.Capture.Accounts {
		one := CaptureDiagnosis{
			Account: collector.Anonymous(secret, a.Account), State: a.State, Severity: a.Severity, Messages: a.Messages,
			Revisions: a.Revisions, Unknown: a.Unknown, States: map[string]int{},
		}
		for _, db := range a.Databases {
			one.States[string(db.State)]++
		}
		d.Capture = append(d.Capture, one)
	}
	return d, nil
}

// WriteText writes the diagnosis for a person.
func (d *Diagnosis) WriteText(w io.Writer) error {
	var b strings.Builder
	running := "no agent answers"
	if d.Running {
		running = fmt.Sprintf("the agent is %s", d.Overall)
	}
	fmt.Fprintf(&b, "tidemark %s on %s/%s; %s; %d places could not be searched\n", d.Version, d.OS, d.Arch, running, d.Problems)
	for _, c := range d.Capture {
		fmt.Fprintf(&b, "%s: %s (%s), %d messages, %d revisions%s\n", c.Account, c.State, c.Severity, c.Messages, c.Revisions, typesText("; unknown types: ", c.Unknown))
	}
	for _, a := range d.Accounts {
		fmt.Fprintf(&b, "\n%s: %s %s on %s, layout %s, %d keys\n", a.Account, a.App, a.Generation, a.OS, a.Layout, a.Keys)
		for _, db := range a.Databases {
			fmt.Fprintf(&b, "\n  %s: %s", db.File, db.State)
			if db.Params != "" {
				fmt.Fprintf(&b, ", parameters %s", db.Params)
			}
			fmt.Fprintf(&b, ", %d bytes, WAL %d bytes", db.Bytes, db.WALBytes)
			if db.Fingerprint != "" {
				fmt.Fprintf(&b, ", fingerprint %s\n    pages of %d: %d, free %d; schema version %d, user version %d", db.Fingerprint,
					db.Header["page_size"], db.Header["page_count"], db.Header["freelist_count"], db.Header["schema_version"], db.Header["user_version"])
			}
			b.WriteByte('\n')
			t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
			for _, s := range db.Shapes {
				rows := fmt.Sprint(s.Rows)
				if s.Rows < 0 {
					rows = "-"
				}
				fmt.Fprintf(t, "    %s\t%d tables\t%s rows\t%s\n", s.Name, s.Tables, rows, strings.Join(s.Columns, " "))
			}
			t.Flush()
			if len(db.Strange) > 0 {
				fmt.Fprintf(&b, "    unfamiliar: %s\n", strings.Join(db.Strange, " "))
			}
			b.WriteString(typesText("    types: ", db.Types))
			if len(db.Types) > 0 {
				b.WriteByte('\n')
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// typesText lists types with their counts after a prefix, or is "".
func typesText(prefix string, types []collector.TypeCount) string {
	if len(types) == 0 {
		return ""
	}
	var out []string
	for _, t := range types {
		name := fmt.Sprint(t.Type)
		if t.Subtype != 0 {
			name += fmt.Sprintf("/%d", t.Subtype)
		}
		out = append(out, fmt.Sprintf("%s ×%d", name, t.Messages))
	}
	return prefix + strings.Join(out, ", ")
}
