package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/collector/simtest"
	"tidemark/seal/protocol"
)

// A failing is a state in which something is broken, for good.
type failing struct {
	name   string
	extra  string        // configuration
	breaks func(*laptop) // before the agent starts
	later  func(*laptop) // when it runs and has captured
	shows  string        // in status, from when on it is measured
}

// laptop is a device of a site's archive.
type laptop struct {
	*site
}

// refusing answers every request alike, as an archive that refuses does.
func refusing(status int, problem string) func(*laptop) {
	return func(l *laptop) {
		body, err := json.Marshal(protocol.Problem{Type: problem, Title: "refused by the test", Status: status})
		if err != nil {
			l.t.Fatal(err)
		}
		l.answers(status, "application/problem+json", string(body))
	}
}

// answers has the agent meet a server that knows one answer.
func (l *laptop) answers(status int, kind, body string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	l.t.Cleanup(server.Close)
	l.addr = strings.TrimPrefix(server.URL, "http://")
}

// nobody has the agent meet a port at which nobody listens.
func nobody(l *laptop) {
	c, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	l.addr = c.Addr().String()
	c.Close()
}

// keys replaces the key file.
func (l *laptop) keys(accounts string) {
	l.write(l.world.Keys, `{"v":1,"accounts":[`+accounts+`]}`)
}

func (l *laptop) write(path, content string) {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// alter writes over a part of a file.
func (l *laptop) alter(path string, from, length int64) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("damage! ", int(length/8))), from); err != nil {
		l.t.Fatal(err)
	}
}

func (l *laptop) rename(from, to string) {
	if err := os.Rename(from, to); err != nil {
		l.t.Fatal(err)
	}
}

func (l *laptop) sql(statements ...string) {
	args := []string{"exec", "--db", l.world.DB("message/message_0.db"), "--key", l.world.Key()}
	for _, s := range statements {
		args = append(args, "--sql", s)
	}
	l.world.Run(args...)
}

var failings = []failing{
	{name: "nothing: all is well", shows: `"overall": "healthy"`},
	{name: "not enrolled", breaks: func(l *laptop) { os.RemoveAll(l.path("state")) }, shows: "not enrolled"},
	{name: "no key", breaks: func(l *laptop) { l.keys("") }, shows: "key missing"},
	{name: "a wrong key", breaks: func(l *laptop) {
		l.keys(`{"account":"wxid_tide","key":"` + strings.Repeat("ab", 32) + `"}`)
	}, shows: "key rejected"},
	{name: "a key file that is garbage", breaks: func(l *laptop) { l.write(l.world.Keys, "{") }, shows: "key source"},
	{name: "a database that is garbage", breaks: func(l *laptop) { l.alter(l.world.DB("message/message_0.db"), 0, 8192) }, shows: "key rejected"},
	{name: "an unknown schema", breaks: func(l *laptop) {
		l.sql("CREATE TABLE Unheard(of)", "ALTER TABLE Name2Id ADD COLUMN unheard_of")
	}, shows: "unfamiliar"},
	{name: "folder of databases not readable", breaks: func(l *laptop) {
		folder := filepath.Dir(l.world.DB("message/message_0.db"))
		l.rename(folder, folder+".away")
		l.write(folder, "not a folder")
	}, shows: "not readable"},
	{name: "the account's folder vanished", later: func(l *laptop) { l.rename(l.world.Account, l.world.Account+".away") }, shows: "gone"},
	{name: "archive down", breaks: nobody, shows: "archive unreachable"},
	{name: "archive answers 401", breaks: refusing(401, protocol.ProblemToken), shows: "not "},
	{name: "archive answers 401, the clock", breaks: refusing(401, protocol.ProblemClock), shows: "not the archive"},
	{name: "archive answers 403", breaks: refusing(403, protocol.ProblemEnrol), shows: `"overall": "degraded"`},
	{name: "archive answers 409", breaks: refusing(409, protocol.ProblemHead), shows: `"overall": "degraded"`},
	{name: "archive answers 413", breaks: refusing(413, protocol.ProblemTooLarge), shows: `"overall": "degraded"`},
	{name: "archive answers 422", breaks: refusing(422, protocol.ProblemBatch), shows: `"overall": "degraded"`},
	{name: "archive answers 429", breaks: refusing(429, protocol.ProblemBusy), shows: "archive busy"},
	{name: "archive answers 500", breaks: refusing(500, protocol.ProblemFailed), shows: "archive busy"},
	{name: "a captive portal", breaks: func(l *laptop) { l.answers(200, "text/html", "<html>Welcome</html>") }, shows: "not the archive"},
	{name: "spool full", extra: "spool: {max_bytes: 1MiB}\n", breaks: func(l *laptop) { nobody(l); l.world.Chat("--count", "12000", "--rate", "0", "--recall", "0").Wait() }, shows: "spool full"},
	{name: "less disk free than is to stay so", extra: "spool: {min_free: 8TiB}\n", breaks: nobody, shows: "low disk"},
}

// laptop gives a laptop of the site's archive on which something is broken. The agent is
// started and has reached the state.
func (f *failing) laptop(t *testing.T, base *site, n int) *laptop {
	l := &laptop{site: &site{t: t, dir: base.path(fmt.Sprintf("laptop%d", n)), bin: base.bin, world: simtest.New(t), key: base.key, addr: base.addr}}
	for _, d := range []string{"", "state"} {
		if err := os.Mkdir(l.path(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(base.path("archive"), l.path("archive")); err != nil {
		t.Fatal(err)
	}
	l.world.Make(20, 2)
	l.configure(f.extra)
	l.enroll()
	if f.breaks != nil {
		f.breaks(l)
		l.configure(f.extra)
	}
	l.runAgent()
	if f.later != nil {
		l.wait("the agent captures", func() bool { state, _ := l.captured(); return state == "current" }, l.agent)
		f.later(l)
	}
	return l
}

// Whatever is broken, and however long: the agent does not spin. Its processor time is
// measured in every failing state, over the same seconds. It runs when TIDEMARK_FAILING
// is a pattern of states (make failing): many agents at once are no part of the ordinary tests.
func TestFailingStatesAreQuiet(t *testing.T) {
	names := os.Getenv("TIDEMARK_FAILING")
	if names == "" {
		t.Skip("make failing runs it")
	}
	failings := slices.DeleteFunc(slices.Clone(failings), func(f failing) bool { return !regexp.MustCompile(names).MatchString(f.name) })
	const window, most = 10 * time.Second, 0.02
	base := newSite(t)
	base.serve()
	laptops := make([]*laptop, len(failings))
	for i := range failings {
		laptops[i] = failings[i].laptop(t, base, i)
	}
	for i, l := range laptops {
		text := ""
		l.wait(failings[i].name+" shows", func() bool { _, text = l.status(); return strings.Contains(text, failings[i].shows) }, l.agent)
	}
	time.Sleep(3 * time.Second) // what a failing begins with is not what it goes on with
	before := make([]time.Duration, len(laptops))
	for i, l := range laptops {
		before[i] = l.agent.used(t)
	}
	start := time.Now()
	time.Sleep(window)
	var table strings.Builder
	for i, l := range laptops {
		share := float64(l.agent.used(t)-before[i]) / float64(time.Since(start))
		fmt.Fprintf(&table, "| %s | %.2f %% |\n", failings[i].name, 100*share)
		if share > most {
			t.Errorf("%s: %.1f %% of a core\n%s", failings[i].name, 100*share, l.agent.log)
		}
	}
	t.Logf("processor time in each failing state:\n%s", &table)
}
