package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tidemark/agent/disclosure"
	"tidemark/collector"
	"tidemark/seal"
)

// Config is the effective settings. The comments of Keys are the manual.
type Config struct {
	ArchiveURL    string
	ArchiveKey    string
	Token         string // for an enrolment without a person
	TokenFile     string // the same, in a file that is deleted after use
	Proxy         string
	MaxRate       int64 // bytes per second, 0 for no limit
	StateDir      string
	Sources       []string
	Scope         collector.Scope
	History       collector.History
	Poll          time.Duration
	Media         collector.MediaRules
	Keys          []KeySource
	Notice        disclosure.Notice
	SpoolMaxBytes int64
	SpoolMinFree  int64
	Secrets       string // auto, file or system
	LogLevel      slog.Level
	LogFormat     string
}

// KeySource is one place that database keys come from.
type KeySource struct {
	Source  string   `json:"source" yaml:"source"`                       // file or exec
	Path    string   `json:"path,omitempty" yaml:"path,omitempty"`       // of a file
	Command []string `json:"command,omitempty" yaml:"command,omitempty"` // of exec
}

// Key is a setting: its name in the file, its type and rule in words, its default
// and what it is for.
type Key struct {
	Name    string
	Type    string
	Default string // as one would write it in the file
	Doc     string

	set func(c *Config, n *yaml.Node) error // the error says the rule
	get func(c *Config) any
}

// Env is the environment variable that sets the key: TIDEMARK_STATE_DIR for
// state_dir. Its value is written as in the file; a list of words may be separated
// by commas.
func (k Key) Env() string {
	return "TIDEMARK_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Keys lists every setting, in the order of the manual.
func Keys() []Key {
	return slices.Concat([]Key{
		stringKey("archive.url", "", "where the archive is; empty means where this device is enrolled", checkURL,
			func(c *Config) *string { return &c.ArchiveURL }),
		stringKey("archive.key", "", "the archive's key, tmk1…; empty means the one this device is enrolled with", checkArchiveKey,
			func(c *Config) *string { return &c.ArchiveKey }),
		{Name: "archive.token", Type: "text", Default: "", Doc: "enrolment token, with which a device that is not enrolled enrols by itself; best a token of many uses and little time",
			set: func(c *Config, n *yaml.Node) error { return parseToken(n, &c.Token) },
			get: func(c *Config) any { return hidden(c.Token) }},
		stringKey("archive.token_file", defaultTokenFile(), "file of an enrolment token, used before archive.token and deleted after the enrolment", checkAbsolute,
			func(c *Config) *string { return &c.TokenFile }),
		{Name: "archive.proxy", Type: "URL", Default: "", Doc: "proxy to the archive, as http://user:password@host:port; empty means the one that the environment names",
			set: func(c *Config, n *yaml.Node) error { return parseProxy(n, &c.Proxy) },
			get: func(c *Config) any { return redactURL(c.Proxy) }},
		{Name: "delivery.max_rate", Type: "size for each second, 0 for no limit", Default: "0", Doc: "how fast deliveries may use the network, all together",
			set: func(c *Config, n *yaml.Node) error { return parseRate(n, &c.MaxRate) },
			get: func(c *Config) any { return formatSize(c.MaxRate) }},
		stringKey("state_dir", defaultStateDir(), "folder of the agent's identity, spool and added keys", checkAbsolute,
			func(c *Config) *string { return &c.StateDir }),
		listKey("sources", "[]", "folders to search for WeChat accounts beside the usual and the relocated places: a folder of accounts, the one around it, or one account's, of any client", checkAbsolute,
			func(c *Config) *[]string { return &c.Sources }),
		listKey("capture.accounts.include", `["*"]`, "accounts that are captured, as usernames or patterns", checkAccount,
			func(c *Config) *[]string { return &c.Scope.Accounts.Include }),
		listKey("capture.accounts.exclude", "[]", "accounts that are not, although included", checkAccount,
			func(c *Config) *[]string { return &c.Scope.Accounts.Exclude }),
		listKey("capture.conversations.include", `["*"]`, "conversations that are captured: usernames, patterns, kind:room and the like, label:NAME", checkConversation,
			func(c *Config) *[]string { return &c.Scope.Conversations.Include }),
		listKey("capture.conversations.exclude", "[]", "conversations that are not, although included; what was said meanwhile stays out", checkConversation,
			func(c *Config) *[]string { return &c.Scope.Conversations.Exclude }),
		historyKey(),
		{Name: "capture.poll", Type: "duration, 100ms to 1h", Default: "10s", Doc: "how often everything is looked at, whatever the system reports",
			set: func(c *Config, n *yaml.Node) error { return parsePoll(n, &c.Poll) },
			get: func(c *Config) any { return c.Poll.String() }},
	}, mediaKeys(), noticeKeys(), []Key{
		{Name: "keys", Type: "list of key sources", Default: "[]", Doc: "where the keys of databases and images come from, beside those added on this device",
			set: func(c *Config, n *yaml.Node) error { return parseSources(n, &c.Keys) },
			get: func(c *Config) any { return c.Keys }},
		{Name: "spool.max_bytes", Type: "size, at least 1MiB", Default: "2GiB", Doc: "how much may wait for the archive before reading stops",
			set: func(c *Config, n *yaml.Node) error { return parseQuota(n, &c.SpoolMaxBytes) },
			get: func(c *Config) any { return formatSize(c.SpoolMaxBytes) }},
		{Name: "spool.min_free", Type: "size", Default: "1GiB", Doc: "how much of the disk stays free; with less, reading stops",
			set: func(c *Config, n *yaml.Node) (err error) { c.SpoolMinFree, err = parseSize(n.Value); return err },
			get: func(c *Config) any { return formatSize(c.SpoolMinFree) }},
		{Name: "secrets", Type: "auto, file or system", Default: "auto",
			Doc: "where the device's key is kept: wrapped by the system's place for secrets, if there is one, or in a file that only the agent's user reads",
			set: func(c *Config, n *yaml.Node) error { return parseSecrets(n, &c.Secrets) },
			get: func(c *Config) any { return c.Secrets }},
		{Name: "log.level", Type: "debug, info, warn or error", Default: "info", Doc: "the least that is logged",
			set: func(c *Config, n *yaml.Node) error { return parseLevel(n, &c.LogLevel) },
			get: func(c *Config) any { return strings.ToLower(c.LogLevel.String()) }},
		{Name: "log.format", Type: "text or json", Default: "text", Doc: "the form of log lines",
			set: func(c *Config, n *yaml.Node) error { return parseFormat(n, &c.LogFormat) },
			get: func(c *Config) any { return c.LogFormat }},
	})
}

func stringKey(name, def, doc string, check func(string) error, field func(*Config) *string) Key {
	return Key{Name: name, Type: "text", Default: def, Doc: doc,
		set: func(c *Config, n *yaml.Node) error {
			s, err := scalar(n)
			if err == nil && s != "" {
				err = check(s)
			}
			if err == nil {
				*field(c) = s
			}
			return err
		},
		get: func(c *Config) any { return *field(c) }}
}

func listKey(name, def, doc string, check func(string) error, field func(*Config) *[]string) Key {
	return Key{Name: name, Type: "list", Default: def, Doc: doc,
		set: func(c *Config, n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode {
				return errors.New("must be a list, as [a, b]")
			}
			list := []string{}
			for _, item := range n.Content {
				s, err := scalar(item)
				if err == nil {
					err = check(s)
				}
				if err != nil {
					return fmt.Errorf("each item: %w", err)
				}
				list = append(list, s)
			}
			if len(list) == 0 && strings.HasSuffix(name, ".include") { // the collector takes none for all
				return errors.New(`must name something; ["*"] is everything`)
			}
			*field(c) = list
			return nil
		},
		get: func(c *Config) any { return *field(c) }}
}

func historyKey() Key {
	return Key{Name: "capture.history", Type: "all, none or {since: date}", Default: "all",
		Doc: "how much of what was said before the first start is captured",
		set: func(c *Config, n *yaml.Node) error {
			text := n.Value
			if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "since" {
				text = n.Content[1].Value
			} else if date, ok := strings.CutPrefix(text, "since:"); ok {
				text = strings.TrimSpace(date)
			}
			h, err := collector.ParseHistory(text)
			if err != nil || text == "" {
				return errors.New("must be all, none or {since: 2026-01-01}")
			}
			c.History = h
			return nil
		},
		get: func(c *Config) any { return c.HistoryText() }}
}

// HistoryText is capture.history as one would write it.
func (c *Config) HistoryText() string {
	switch {
	case c.History.None:
		return "none"
	case !c.History.Since.IsZero():
		return "since: " + c.History.Since.Format(time.DateOnly)
	}
	return "all"
}

func scalar(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", errors.New("must be text")
	}
	return n.Value, nil
}

// checkURL demands TLS except on this machine. Content is sealed either way, but an
// enrolment token is not.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be https://host[:port][/path]")
	}
	loopback := u.Hostname() == "localhost"
	if ip := net.ParseIP(u.Hostname()); ip != nil {
		loopback = ip.IsLoopback()
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("must be https, or http on this machine's own loopback address")
	}
	return nil
}

// CheckURL is the rule of archive.url, for the command line.
func CheckURL(s string) error { return checkURL(s) }

// parseProxy's errors quote nothing: the value may hold a password.
func parseProxy(n *yaml.Node, into *string) error {
	s, err := scalar(n)
	if err != nil {
		return err
	}
	if s != "" {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
			return errors.New("must be http, https or socks5://[user:password@]host:port")
		}
	}
	*into = s
	return nil
}

// parseToken's errors quote nothing: the value is a secret.
func parseToken(n *yaml.Node, into *string) error {
	s, err := scalar(n)
	if err == nil && strings.ContainsAny(s, " \t\r\n") {
		err = errors.New("must be one token and nothing else")
	}
	if err == nil {
		*into = s
	}
	return err
}

// hidden says that there is a secret, without it.
func hidden(s string) string {
	if s == "" {
		return ""
	}
	return "(given)"
}

// redactURL hides the password of a URL that may be shown.
func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

func parseRate(n *yaml.Node, into *int64) error {
	size, err := parseSize(n.Value)
	if err != nil || size > 0 && size < 1<<10 {
		return errors.New("must be a size such as 250KiB, at least 1KiB, or 0 for no limit")
	}
	*into = size
	return nil
}

func checkArchiveKey(s string) error {
	if _, err := seal.ParseArchiveKey(s); err != nil {
		return fmt.Errorf("must be the archive's key, tmk1 and 56 letters: %w", err)
	}
	return nil
}

func checkAbsolute(s string) error {
	if !filepath.IsAbs(s) {
		return errors.New("must be an absolute path")
	}
	return nil
}

func checkAccount(s string) error {
	return collector.Scope{Accounts: collector.Rule{Include: []string{s}}}.Validate()
}

func checkConversation(s string) error {
	return collector.Scope{Conversations: collector.Rule{Include: []string{s}}}.Validate()
}

func parsePoll(n *yaml.Node, into *time.Duration) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 100*time.Millisecond || d > time.Hour {
		return errors.New("must be a duration such as 500ms or 10s, from 100ms to 1h")
	}
	*into = d
	return nil
}

func parseSources(n *yaml.Node, into *[]KeySource) error {
	const rule = "must be a list of {source: file, path: /absolute/path} and {source: exec, command: [/program, argument]}"
	if n.Kind != yaml.SequenceNode {
		return errors.New(rule)
	}
	list := []KeySource{}
	for _, item := range n.Content {
		if item.Kind != yaml.MappingNode {
			return errors.New(rule)
		}
		for i := 0; i < len(item.Content); i += 2 {
			if k := item.Content[i].Value; k != "source" && k != "path" && k != "command" {
				return fmt.Errorf("%s; %q is not known", rule, k)
			}
		}
		var s KeySource
		if err := item.Decode(&s); err != nil {
			return errors.New(rule)
		}
		switch {
		case s.Source == "file" && filepath.IsAbs(s.Path) && len(s.Command) == 0:
		case s.Source == "exec" && len(s.Command) > 0 && filepath.IsAbs(s.Command[0]) && s.Path == "":
		default:
			return errors.New(rule)
		}
		list = append(list, s)
	}
	*into = list
	return nil
}

// The units of sizes; only powers of 1024, so that a size means one thing.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

func parseQuota(n *yaml.Node, into *int64) error {
	size, err := parseSize(n.Value)
	if err != nil || size < 1<<20 {
		return errors.New("must be a size such as 500MiB or 2GiB, at least 1MiB")
	}
	*into = size
	return nil
}

func parseSize(s string) (int64, error) {
	factor := int64(1)
	for _, u := range units {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			s, factor = strings.TrimSpace(number), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return 0, errors.New("must be a size such as 500MiB or 2GiB")
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func parseLevel(n *yaml.Node, into *slog.Level) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	l, ok := levels[n.Value]
	if !ok {
		return errors.New("must be debug, info, warn or error")
	}
	*into = l
	return nil
}

func parseSecrets(n *yaml.Node, into *string) error {
	if n.Value != "auto" && n.Value != "file" && n.Value != "system" {
		return errors.New("must be auto, file or system")
	}
	*into = n.Value
	return nil
}

func parseFormat(n *yaml.Node, into *string) error {
	if n.Value != "text" && n.Value != "json" {
		return errors.New("must be text or json")
	}
	*into = n.Value
	return nil
}
