package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tidemark/agent/limits"
)

// limitKeys are the ceilings of what the agent takes of the device.
func limitKeys() []Key {
	return []Key{
		{Name: "limits.memory", Type: Size, Rule: "at least 96MiB, or 0 for no limit", RuleZH: "至少 96MiB；0 表示不限制", Default: "256MiB", Since: "0.1", Effect: Capture,
			Doc: "how much memory the agent may take; with less, the reading of a long history is slower", DocZH: "代理最多占用多少内存；较小的值会使读取较长的历史记录变慢",
			codec: size(parseMemory, func(c *Config) *int64 { return &c.MaxMemory })},
		{Name: "limits.cpu", Type: Text, Rule: "of one core, 1% to 6400%, or 0 for no limit", RuleZH: "按单个核心计，1% 至 6400%；0 表示不限制", Default: "100%", Since: "0.1", Effect: Capture,
			Doc:   "how much processor time the agent may take on average while it reads history or files, which wait when it is used up; what is new is never made to wait by it",
			DocZH: "读取历史记录和文件期间平均最多占用多少处理器时间（按单个核心计），用完后这些读取会等待；新消息不受此限制影响",
			codec: codec{
				set: func(c *Config, n *yaml.Node) error { return parseCPU(n, &c.MaxCPU) },
				get: func(c *Config) any { return formatCPU(c.MaxCPU) },
			}},
	}
}

func parseMemory(n *yaml.Node, into *int64) error {
	size, err := parseSize(n.Value)
	if err != nil || size > 0 && size < limits.Least {
		return errors.New("must be a size such as 256MiB, at least 96MiB, or 0 for no limit")
	}
	*into = size
	return nil
}

func parseCPU(n *yaml.Node, into *int) error {
	percent, err := strconv.Atoi(strings.TrimSuffix(n.Value, "%"))
	if err != nil || percent < 0 || percent > 6400 {
		return errors.New("must be per cent of one core, as 50%, at most 6400%, or 0 for no limit")
	}
	*into = percent
	return nil
}

func formatCPU(percent int) string {
	if percent == 0 {
		return "0"
	}
	return fmt.Sprintf("%d%%", percent)
}
