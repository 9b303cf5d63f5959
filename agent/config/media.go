package config

import (
	"errors"
	"time"

	"go.yaml.in/yaml/v3"
)

// mediaKeys are the settings of the files of messages.
func mediaKeys() []Key {
	return []Key{
		mediaKey("images", "pictures", "图片", func(c *Config) *bool { return &c.Media.NoImages }),
		mediaKey("voice", "voice messages", "语音消息", func(c *Config) *bool { return &c.Media.NoVoice }),
		mediaKey("video", "videos and their covers", "视频及其封面", func(c *Config) *bool { return &c.Media.NoVideo }),
		mediaKey("files", "files that were sent", "发送的文件", func(c *Config) *bool { return &c.Media.NoFiles }),
		{Name: "capture.media.max_bytes", Type: Size, Rule: "0 for no limit", RuleZH: "0 表示不限制", Default: "2GiB", Since: "0.1", Effect: Capture,
			Doc: "a larger file is left out, with a record that says so", DocZH: "超过此大小的文件不采集，并留下说明记录；0 表示不限制",
			codec: size(parseMaxBytes, func(c *Config) *int64 { return &c.Media.MaxBytes })},
		{Name: "capture.media.give_up", Type: Duration, Rule: "1m to 720h", RuleZH: "1m 至 720h", Default: "168h", Since: "0.1", Effect: Capture,
			Doc: "how long after its message a file that is not on this device counts as never downloaded", DocZH: "消息发出多久之后，本设备上仍没有的文件视为从未下载",
			codec: duration(parseGiveUp, func(c *Config) *time.Duration { return &c.Media.GiveUp })},
	}
}

// mediaKey is whether one kind of files is captured; the field says that it is not.
func mediaKey(name, what, whatZH string, without func(*Config) *bool) Key {
	return Key{Name: "capture.media." + name, Type: Bool, Default: "true", Since: "0.1", Effect: Capture, Scope: true,
		Doc: "whether " + what + " are captured; what is left out is named in its message's record", DocZH: "是否采集" + whatZH + "；未采集的内容会在消息记录中注明",
		codec: flag(true, without)}
}

func parseMaxBytes(n *yaml.Node, into *int64) error {
	size, err := parseSize(n.Value)
	if err != nil {
		return errors.New("must be a size such as 500MiB or 2GiB, or 0 for no limit")
	}
	*into = size
	return nil
}

func parseGiveUp(n *yaml.Node, into *time.Duration) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < time.Minute || d > 30*24*time.Hour {
		return errors.New("must be a duration such as 24h, from 1m to 720h")
	}
	*into = d
	return nil
}
