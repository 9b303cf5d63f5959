package config

import (
	"errors"
	"time"

	"go.yaml.in/yaml/v3"
)

// mediaKeys are the settings of the files of messages.
func mediaKeys() []Key {
	return []Key{
		mediaKey("images", "pictures", func(c *Config) *bool { return &c.Media.NoImages }),
		mediaKey("voice", "voice messages", func(c *Config) *bool { return &c.Media.NoVoice }),
		mediaKey("video", "videos and their covers", func(c *Config) *bool { return &c.Media.NoVideo }),
		mediaKey("files", "files that were sent", func(c *Config) *bool { return &c.Media.NoFiles }),
		{Name: "capture.media.max_bytes", Type: "size, 0 for no limit", Default: "2GiB", Doc: "a larger file is left out, with a record that says so",
			set: func(c *Config, n *yaml.Node) error { return parseMaxBytes(n, &c.Media.MaxBytes) },
			get: func(c *Config) any { return formatSize(c.Media.MaxBytes) }},
		{Name: "capture.media.give_up", Type: "duration, 1m to 720h", Default: "168h", Doc: "how long after its message a file that is not on this device counts as never downloaded",
			set: func(c *Config, n *yaml.Node) error { return parseGiveUp(n, &c.Media.GiveUp) },
			get: func(c *Config) any { return c.Media.GiveUp.String() }},
	}
}

// mediaKey is whether one kind of files is captured; the field says that it is not.
func mediaKey(name, what string, without func(*Config) *bool) Key {
	return Key{Name: "capture.media." + name, Type: "true or false", Default: "true", Doc: "whether " + what + " are captured; what is left out is named in its message's record",
		set: func(c *Config, n *yaml.Node) error {
			switch n.Value {
			case "true":
				*without(c) = false
			case "false":
				*without(c) = true
			default:
				return errors.New("must be true or false")
			}
			return nil
		},
		get: func(c *Config) any { return !*without(c) }}
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
