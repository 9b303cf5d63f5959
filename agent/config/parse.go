package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tidemark/collector"
	"tidemark/seal"
)

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

func parseRemovalWait(n *yaml.Node, into *time.Duration) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < time.Second || d > 10*time.Minute {
		return errors.New("must be a duration such as 30s or 2m, from 1s to 10m")
	}
	*into = d
	return nil
}

func parseSources(n *yaml.Node, into *[]KeySource) error {
	const rule = "must be a list of {source: file, path: /absolute/path}, {source: exec, command: [/program, argument]} and {source: archive}"
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
		case s.Source == "archive" && s.Path == "" && len(s.Command) == 0:
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

func parseFree(n *yaml.Node, into *int64) (err error) {
	*into, err = parseSize(n.Value)
	return err
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
