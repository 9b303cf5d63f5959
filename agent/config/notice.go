package config

import (
	"fmt"
	"path/filepath"

	"tidemark/agent/disclosure"
)

// noticeKeys are the settings of what the users of the device are told.
func noticeKeys() []Key {
	return []Key{
		{Name: "capture.notice", Type: Choice, Default: disclosure.NoticeShow, Since: "0.1", Effect: Capture, Scope: true,
			Doc:   "whether each user is shown the notice; required: nothing of an account is captured until its user has acknowledged it",
			DocZH: "是否向每位用户显示告知书；required 表示在用户确认之前不采集其账号的任何内容",
			codec: choice(func(c *Config) *string { return &c.Notice.Mode }, disclosure.NoticeOff, disclosure.NoticeShow, disclosure.NoticeRequired)},
		noticeKey("notice.organisation", 200, "who records, as users are told", "告知用户的记录主体（组织名称）", func(c *Config) *string { return &c.Notice.Organisation }),
		noticeKey("notice.text", 8000, "the notice in the organisation's own words; empty means the built-in one, in English and Chinese", "组织自行撰写的告知书；留空表示使用内置的中英文告知书", func(c *Config) *string { return &c.Notice.Text }),
		noticeKey("notice.version", 60, "of the notice: another one is acknowledged anew; empty means one made of its words", "告知书的版本；版本改变后需要重新确认；留空表示由正文生成", func(c *Config) *string { return &c.Notice.Version }),
		noticeKey("notice.retention", 200, "how long the archive keeps records, as users are told, such as: seven years", "告知用户的记录保存期限，例如：七年", func(c *Config) *string { return &c.Notice.Retention }),
		noticeKey("notice.contact", 200, "whom users may ask", "用户可以咨询的联系人", func(c *Config) *string { return &c.Notice.Contact }),
	}
}

func noticeKey(name string, most int, doc, docZH string, field func(*Config) *string) Key {
	rule := fmt.Sprintf("at most %d bytes", most)
	kind := Text
	if most > 1000 {
		kind = Prose
	}
	return Key{Name: name, Type: kind, Rule: rule, RuleZH: fmt.Sprintf("最多 %d 字节", most), Since: "0.1", Effect: Capture, Doc: doc, DocZH: docZH,
		codec: text(func(s string) error {
			if len(s) > most {
				return fmt.Errorf("is too long: %s", rule)
			}
			return nil
		}, field)}
}

// PublicDir is the folder of what every user of the device may read: beside the state
// folder of a service, which nobody else may enter, and inside that of an own agent.
func (c *Config) PublicDir() string {
	if c.StateDir == defaultStateDir() {
		return defaultPublicDir()
	}
	return filepath.Join(c.StateDir, "public")
}
