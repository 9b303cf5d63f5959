package config

import (
	"errors"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"tidemark/agent/disclosure"
)

// noticeKeys are the settings of what the users of the device are told.
func noticeKeys() []Key {
	modes := []string{disclosure.NoticeOff, disclosure.NoticeShow, disclosure.NoticeRequired}
	return []Key{
		{Name: "capture.notice", Type: "off, show or required", Default: disclosure.NoticeShow,
			Doc: "whether each user is shown the notice; required: nothing of an account is captured until its user has acknowledged it",
			set: func(c *Config, n *yaml.Node) error {
				if !slices.Contains(modes, n.Value) {
					return errors.New("must be off, show or required")
				}
				c.Notice.Mode = n.Value
				return nil
			},
			get: func(c *Config) any { return c.Notice.Mode }},
		noticeKey("notice.organisation", 200, "who records, as users are told", func(c *Config) *string { return &c.Notice.Organisation }),
		noticeKey("notice.text", 8000, "the notice in the organisation's own words; empty means the built-in one, in English and Chinese", func(c *Config) *string { return &c.Notice.Text }),
		noticeKey("notice.version", 60, "of the notice: another one is acknowledged anew; empty means one made of its words", func(c *Config) *string { return &c.Notice.Version }),
		noticeKey("notice.retention", 200, "how long the archive keeps records, as users are told, such as: seven years", func(c *Config) *string { return &c.Notice.Retention }),
		noticeKey("notice.contact", 200, "whom users may ask", func(c *Config) *string { return &c.Notice.Contact }),
	}
}

func noticeKey(name string, most int, doc string, field func(*Config) *string) Key {
	return stringKey(name, "", doc, func(s string) error {
		if len(s) > most {
			return errors.New("is too long")
		}
		return nil
	}, field)
}

// PublicDir is the folder of what every user of the device may read: beside the state
// folder of a service, which nobody else may enter, and inside that of an own agent.
func (c *Config) PublicDir() string {
	if c.StateDir == defaultStateDir() {
		return defaultPublicDir()
	}
	return filepath.Join(c.StateDir, "public")
}
