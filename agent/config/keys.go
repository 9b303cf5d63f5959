package config

import (
	"log/slog"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"tidemark/agent/disclosure"
	"tidemark/collector"
)

// Config is the effective settings. The comments of Keys are the manual.
type Config struct {
	Problems []*Error // what managed policy or the installation has and cannot be taken; see Held
	settings []Setting

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
	MaxMemory     int64  // bytes, 0 for no limit
	MaxCPU        int    // per cent of one core, 0 for no limit
	Secrets       string // auto, file or system
	Metrics       Metrics
	Health        Health
	LogLevel      slog.Level
	LogFormat     string

	RemovalUndelivered string // deliver, keep or discard
	RemovalWait        time.Duration
}

// KeySource is one place that database keys come from.
type KeySource struct {
	Source  string   `json:"source" yaml:"source"`                       // file, exec or archive
	Path    string   `json:"path,omitempty" yaml:"path,omitempty"`       // of a file
	Command []string `json:"command,omitempty" yaml:"command,omitempty"` // of exec
}

// Keys lists every setting, in the order of the manual.
func Keys() []Key {
	return slices.Concat(archiveKeys(), captureKeys(), mediaKeys(), noticeKeys(), limitKeys(), machineKeys(), healthKeys())
}

func archiveKeys() []Key {
	return []Key{
		{Name: "archive.url", Type: Text, Rule: "https://host[:port][/path], or http on this machine's own loopback address", RuleZH: "https://主机[:端口][/路径]，或本机回环地址上的 http", Since: "0.1", Effect: Capture,
			Doc: "where the archive is; empty means where this device is enrolled", DocZH: "归档服务器的地址；留空表示使用本设备注册时的地址",
			codec: text(checkURL, func(c *Config) *string { return &c.ArchiveURL })},
		{Name: "archive.key", Type: Text, Rule: "tmk1 and 56 letters", RuleZH: "tmk1 加 56 个字母", Since: "0.1", Effect: Capture,
			Doc: "the archive's key, tmk1…; empty means the one this device is enrolled with", DocZH: "归档服务器的公钥标识（tmk1…）；留空表示使用注册时的公钥标识",
			codec: text(checkArchiveKey, func(c *Config) *string { return &c.ArchiveKey })},
		{Name: "archive.token", Type: Text, Rule: "one token, tmt1…", RuleZH: "一个令牌，tmt1…", Since: "0.1", Effect: AtOnce, Secret: true,
			Doc:   "enrolment token, with which a device that is not enrolled enrols by itself; best a token of many uses and little time",
			DocZH: "注册令牌，未注册的设备凭此自行注册；最好使用可多次使用但有效期短的令牌",
			codec: codec{
				set: func(c *Config, n *yaml.Node) error { return parseToken(n, &c.Token) },
				get: func(c *Config) any { return c.Token },
			}},
		{Name: "archive.token_file", Type: Text, Rule: "an absolute path", RuleZH: "绝对路径", Default: defaultTokenFile(), Since: "0.1", Effect: AtOnce,
			Doc: "file of an enrolment token, used before archive.token and deleted after the enrolment", DocZH: "存放注册令牌的文件，优先于 archive.token，注册后即删除",
			defaults: map[string]string{"linux": "/etc/tidemark/enroll.token", "darwin": "/Library/Application Support/Tidemark/enroll.token", "windows": `%ProgramData%\Tidemark\enroll.token`},
			codec:    text(checkAbsolute, func(c *Config) *string { return &c.TokenFile })},
		{Name: "archive.proxy", Type: Text, Rule: "http, https or socks5://[user:password@]host:port", RuleZH: "http、https 或 socks5://[用户:密码@]主机:端口", Since: "0.1", Effect: Capture, Secret: true,
			Doc: "proxy to the archive, as http://user:password@host:port; empty means the one that the environment names", DocZH: "访问归档服务器所用的代理，例如 http://user:password@host:port；留空表示使用环境变量中的代理",
			codec: codec{
				set:  func(c *Config, n *yaml.Node) error { return parseProxy(n, &c.Proxy) },
				get:  func(c *Config) any { return c.Proxy },
				show: func(c *Config) any { return redactURL(c.Proxy) },
			}},
		{Name: "delivery.max_rate", Type: Size, Rule: "for each second, at least 1KiB, or 0 for no limit", RuleZH: "每秒，至少 1KiB；0 表示不限制", Default: "0", Since: "0.1", Effect: Capture,
			Doc: "how fast deliveries may use the network, all together", DocZH: "全部上传合计可使用的最大网络速率（每秒）；0 表示不限制",
			codec: size(parseRate, func(c *Config) *int64 { return &c.MaxRate })},
	}
}

func captureKeys() []Key {
	return []Key{
		{Name: "sources", Type: List, Rule: "absolute paths", RuleZH: "绝对路径", Default: "[]", Since: "0.1", Effect: Capture,
			Doc:   "folders to search for WeChat accounts beside the usual and the relocated places: a folder of accounts, the one around it, or one account's, of any client",
			DocZH: "除默认位置和迁移后的位置以外，还要查找微信账号的文件夹；可以是账号的上级文件夹，也可以是某个账号自己的文件夹",
			codec: list(checkAbsolute, func(c *Config) *[]string { return &c.Sources })},
		{Name: "capture.accounts.include", Type: List, Rule: "usernames or patterns, at least one", RuleZH: "用户名或通配模式，至少一项", Default: `["*"]`, Since: "0.1", Effect: Capture, Scope: true,
			Doc: "accounts that are captured, as usernames or patterns", DocZH: "要采集的微信账号（用户名或通配模式）",
			codec: include(checkAccount, func(c *Config) *[]string { return &c.Scope.Accounts.Include })},
		{Name: "capture.accounts.exclude", Type: List, Rule: "usernames or patterns", RuleZH: "用户名或通配模式", Default: "[]", Since: "0.1", Effect: Capture, Scope: true,
			Doc: "accounts that are not, although included", DocZH: "即使在上述范围内也不采集的微信账号",
			codec: list(checkAccount, func(c *Config) *[]string { return &c.Scope.Accounts.Exclude })},
		{Name: "capture.conversations.include", Type: List, Rule: "usernames, patterns, kind:… or label:…, at least one", RuleZH: "用户名、通配模式、kind:… 或 label:…，至少一项", Default: `["*"]`, Since: "0.1", Effect: Capture, Scope: true,
			Doc: "conversations that are captured: usernames, patterns, kind:room and the like, label:NAME", DocZH: "要采集的会话：用户名、通配模式、kind:room 等类别、label:标签名",
			codec: include(checkConversation, func(c *Config) *[]string { return &c.Scope.Conversations.Include })},
		{Name: "capture.conversations.exclude", Type: List, Rule: "usernames, patterns, kind:… or label:…", RuleZH: "用户名、通配模式、kind:… 或 label:…", Default: "[]", Since: "0.1", Effect: Capture, Scope: true,
			Doc: "conversations that are not, although included; what was said meanwhile stays out", DocZH: "即使在上述范围内也不采集的会话；期间的消息不会在以后补采",
			codec: list(checkConversation, func(c *Config) *[]string { return &c.Scope.Conversations.Exclude })},
		{Name: "capture.history", Type: Days, Rule: "all, none or {since: date}", RuleZH: "all、none 或 {since: 日期}", Default: "all", Since: "0.1", Effect: Capture, Scope: true,
			Doc: "how much of what was said before the first start is captured", DocZH: "首次启动之前的历史消息采集多少：all 全部、none 不采集、since: 日期 表示从该日起",
			codec: history()},
		{Name: "capture.poll", Type: Duration, Rule: "100ms to 1h", RuleZH: "100ms 至 1h", Default: "10s", Since: "0.1", Effect: Capture,
			Doc: "how often everything is looked at, whatever the system reports", DocZH: "无论系统是否通知变化，多久完整检查一次",
			codec: duration(parsePoll, func(c *Config) *time.Duration { return &c.Poll })},
	}
}

func machineKeys() []Key {
	return []Key{
		{Name: "keys", Type: KeySources, Default: "[]", Since: "0.1", Effect: Capture,
			Doc: "where the keys of databases and images come from, beside those added on this device", DocZH: "数据库密钥和图片密钥的来源，作为本设备上手工添加的密钥的补充",
			codec: codec{
				set: func(c *Config, n *yaml.Node) error { return parseSources(n, &c.Keys) },
				get: func(c *Config) any { return c.Keys },
			}},
		{Name: "spool.max_bytes", Type: Size, Rule: "at least 1MiB", RuleZH: "至少 1MiB", Default: "2GiB", Since: "0.1", Effect: Capture,
			Doc: "how much may wait for the archive before reading stops", DocZH: "等待上传的数据最多占用多少空间；达到后停止读取",
			codec: size(parseQuota, func(c *Config) *int64 { return &c.SpoolMaxBytes })},
		{Name: "spool.min_free", Type: Size, Default: "1GiB", Since: "0.1", Effect: Capture,
			Doc: "how much of the disk stays free; with less, reading stops", DocZH: "磁盘至少保留的空闲空间；低于此值时停止读取",
			codec: size(parseFree, func(c *Config) *int64 { return &c.SpoolMinFree })},
		{Name: "state_dir", Type: Text, Rule: "an absolute path", RuleZH: "绝对路径", Default: defaultStateDir(), Since: "0.1", Effect: Restart,
			Doc: "folder of the agent's identity, spool and added keys", DocZH: "存放代理身份、待上传数据和已添加密钥的文件夹",
			defaults: map[string]string{"linux": "/var/lib/tidemark", "darwin": "/Library/Application Support/Tidemark/state", "windows": `%ProgramData%\Tidemark\state`},
			codec:    text(checkAbsolute, func(c *Config) *string { return &c.StateDir })},
		{Name: "secrets", Type: Choice, Default: "auto", Since: "0.1", Effect: Capture,
			Doc:   "where the device's key is kept: wrapped by the system's place for secrets, if there is one, or in a file that only the agent's user reads",
			DocZH: "设备密钥的存放方式：由系统的密钥存储保护（如可用），或存放在只有代理用户可读的文件中",
			codec: choice(func(c *Config) *string { return &c.Secrets }, "auto", "file", "system")},
		{Name: "removal.undelivered", Type: Choice, Default: "deliver", Since: "0.1", Effect: AtOnce,
			Doc:   "what the removal of Tidemark does with records that the archive does not have yet: deliver them as long as removal.wait and keep the rest, keep all, or discard all",
			DocZH: "卸载 Tidemark 时如何处理尚未上传的记录：deliver 在 removal.wait 时间内上传、其余保留，keep 全部保留，discard 全部删除",
			codec: choice(func(c *Config) *string { return &c.RemovalUndelivered }, "deliver", "keep", "discard")},
		{Name: "removal.wait", Type: Duration, Rule: "1s to 10m", RuleZH: "1s 到 10m", Default: "30s", Since: "0.1", Effect: AtOnce,
			Doc: "how long a removal tries to deliver what is undelivered", DocZH: "卸载时最多用多长时间上传尚未上传的记录",
			codec: duration(parseRemovalWait, func(c *Config) *time.Duration { return &c.RemovalWait })},
		{Name: "log.level", Type: Choice, Default: "info", Since: "0.1", Effect: AtOnce,
			Doc: "the least that is logged", DocZH: "记录日志的最低级别",
			codec: level()},
		{Name: "log.format", Type: Choice, Default: "text", Since: "0.1", Effect: Restart,
			Doc: "the form of log lines", DocZH: "日志行的格式",
			codec: choice(func(c *Config) *string { return &c.LogFormat }, "text", "json")},
	}
}
