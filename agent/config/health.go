package config

import (
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"tidemark/agent/events"
)

// Health says whom the agent tells how it is, beside those who ask.
type Health struct {
	Interval time.Duration // between heartbeats to the archive, at most
	Events   slog.Level    // the least that the system's event log is told, or events.Off
}

// Metrics says how they are given; nothing of it means not at all.
type Metrics struct {
	Listen   string // host:port
	Remote   bool   // Listen may be another address than this machine's own loopback
	Textfile string // absolute path
}

// Fit holds that metrics are not given to the network by mistake.
func (m Metrics) Fit() error {
	if m.Listen == "" || m.Remote {
		return nil
	}
	host, _, err := net.SplitHostPort(m.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("metrics.listen must be an address of this machine's own loopback, such as 127.0.0.1:9477, unless metrics.remote is true")
	}
	return nil
}

func healthKeys() []Key {
	levels, names := []slog.Level{events.Off, slog.LevelError, slog.LevelWarn, slog.LevelInfo}, []string{"off", "error", "warn", "info"}
	return []Key{
		{Name: "metrics.listen", Type: Text, Rule: "host:port", RuleZH: "主机:端口", Since: "0.1", Effect: Restart,
			Doc: "where metrics are given in Prometheus' form, such as 127.0.0.1:9477; empty means nowhere", DocZH: "以 Prometheus 格式提供指标的地址，例如 127.0.0.1:9477；留空表示不提供",
			codec: text(checkListen, func(c *Config) *string { return &c.Metrics.Listen })},
		{Name: "metrics.remote", Type: Bool, Default: "false", Since: "0.1", Effect: Restart,
			Doc: "whether metrics.listen may be another address than this machine's own loopback; whoever reaches it may read", DocZH: "metrics.listen 是否可以是本机回环以外的地址；能访问该地址者均可读取",
			codec: flag(false, func(c *Config) *bool { return &c.Metrics.Remote })},
		{Name: "metrics.textfile", Type: Text, Rule: "an absolute path that ends in .prom", RuleZH: "以 .prom 结尾的绝对路径", Since: "0.1", Effect: Restart,
			Doc: "file that metrics are written to, for node_exporter; empty means none", DocZH: "写入指标的文件，供 node_exporter 读取；留空表示不写",
			codec: text(checkTextfile, func(c *Config) *string { return &c.Metrics.Textfile })},
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

func checkListen(s string) error {
	if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
		return errors.New("must be host:port, such as 127.0.0.1:9477")
	}
	return nil
}

func checkTextfile(s string) error {
	if checkAbsolute(s) != nil || filepath.Ext(s) != ".prom" {
		return errors.New("must be an absolute path that ends in .prom")
	}
	return nil
}

func parseBeat(n *yaml.Node, into *time.Duration) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < time.Minute || d > 24*time.Hour {
		return errors.New("must be a duration such as 5m, from 1m to 24h")
	}
	*into = d
	return nil
}
