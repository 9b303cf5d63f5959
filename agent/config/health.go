package config

import (
	"errors"
	"log/slog"
	"time"

	"go.yaml.in/yaml/v3"

	"tidemark/agent/events"
)

// Health says whom the agent tells how it is, beside those who ask.
type Health struct {
	Interval time.Duration // between heartbeats to the archive, at most
	Events   slog.Level    // the least that the system's event log is told, or events.Off
}

func healthKeys() []Key {
	levels, names := []slog.Level{events.Off, slog.LevelError, slog.LevelWarn, slog.LevelInfo}, []string{"off", "error", "warn", "info"}
	return []Key{
		{Name: "health.interval", Type: Duration, Rule: "1m to 24h", RuleZH: "1m 至 24h", Default: "5m", Since: "0.1", Effect: Capture,
			Doc:   "how often the archive is told how this device is, at least; a device that is silent for two intervals counts as such",
			DocZH: "至少多久向归档服务器报告一次本设备的健康状况；超过两个间隔没有报告即视为失联",
			codec: duration(parseBeat, func(c *Config) *time.Duration { return &c.Health.Interval })},
		{Name: "events.level", Type: Choice, Default: "info", Since: "0.1", Effect: Restart,
			Doc:   "the least that the system's event log is told: states entered and left, starts and stops (Windows event log, journal or syslog)",
			DocZH: "写入系统事件日志（Windows 事件日志、journal 或 syslog）的最低级别：状态的进入与离开、启动与停止",
			codec: codec{
				choices: names,
				set: func(c *Config, n *yaml.Node) error {
					for i, name := range names {
						if n.Kind == yaml.ScalarNode && n.Value == name {
							c.Health.Events = levels[i]
							return nil
						}
					}
					return mustBe(names)
				},
				get: func(c *Config) any {
					for i, l := range levels {
						if l == c.Health.Events {
							return names[i]
						}
					}
					return ""
				},
			}},
	}
}

func parseBeat(n *yaml.Node, into *time.Duration) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < time.Minute || d > 24*time.Hour {
		return errors.New("must be a duration such as 5m, from 1m to 24h")
	}
	*into = d
	return nil
}
