package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tidemark/collector"
)

// text is any text that the check takes; empty is always taken where the key has a
// meaning for it, which is for its user to know.
func text(check func(string) error, field func(*Config) *string) codec {
	return codec{
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

// list is any number of texts that the check takes.
func list(check func(string) error, field func(*Config) *[]string) codec {
	return codec{
		set: func(c *Config, n *yaml.Node) error {
			if n.Kind != yaml.SequenceNode {
				return errors.New("must be a list, as [a, b]")
			}
			items := []string{}
			for _, item := range n.Content {
				s, err := scalar(item)
				if err == nil {
					err = check(s)
				}
				if err != nil {
					return fmt.Errorf("each item: %w", err)
				}
				items = append(items, s)
			}
			*field(c) = items
			return nil
		},
		get: func(c *Config) any { return *field(c) }}
}

// include is a list that is never empty: the collector takes none for all.
func include(check func(string) error, field func(*Config) *[]string) codec {
	l := list(check, field)
	return codec{get: l.get, set: func(c *Config, n *yaml.Node) error {
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			return errors.New(`must name something; ["*"] is everything`)
		}
		return l.set(c, n)
	}}
}

func choice(field func(*Config) *string, choices ...string) codec {
	return codec{
		choices: choices,
		set: func(c *Config, n *yaml.Node) error {
			if n.Kind != yaml.ScalarNode || !slices.Contains(choices, n.Value) {
				return mustBe(choices)
			}
			*field(c) = n.Value
			return nil
		},
		get: func(c *Config) any { return *field(c) }}
}

func mustBe(choices []string) error {
	last := len(choices) - 1
	return fmt.Errorf("must be %s or %s", strings.Join(choices[:last], ", "), choices[last])
}

// flag is true or false; when inverted, the field says the opposite.
func flag(inverted bool, field func(*Config) *bool) codec {
	return codec{
		set: func(c *Config, n *yaml.Node) error {
			if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
				return errors.New("must be true or false")
			}
			*field(c) = (n.Value == "true") != inverted
			return nil
		},
		get: func(c *Config) any { return *field(c) != inverted }}
}

func size(parse func(*yaml.Node, *int64) error, field func(*Config) *int64) codec {
	return codec{
		set: func(c *Config, n *yaml.Node) error { return parse(n, field(c)) },
		get: func(c *Config) any { return formatSize(*field(c)) }}
}

func duration(parse func(*yaml.Node, *time.Duration) error, field func(*Config) *time.Duration) codec {
	return codec{
		set: func(c *Config, n *yaml.Node) error { return parse(n, field(c)) },
		get: func(c *Config) any { return field(c).String() }}
}

func level() codec {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	names := []string{"debug", "info", "warn", "error"}
	return codec{
		choices: names,
		set: func(c *Config, n *yaml.Node) error {
			i := slices.Index(names, n.Value)
			if i < 0 {
				return mustBe(names)
			}
			c.LogLevel = levels[i]
			return nil
		},
		get: func(c *Config) any { return strings.ToLower(c.LogLevel.String()) }}
}

func history() codec {
	return codec{
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
