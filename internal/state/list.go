package state

// The states that are not called by a part's own words; those have ids by Account,
// Delivery and Spool.
const (
	NotRunning     ID = "agent_not_running"
	NotAnswering   ID = "agent_not_answering"
	NotEnrolled    ID = "agent_not_enrolled"
	IdentityLost   ID = "agent_identity_lost"
	OtherArchive   ID = "agent_other_archive"
	CannotOpen     ID = "agent_cannot_open_spool"
	NoEndpoint     ID = "agent_endpoint_unavailable"
	Starting       ID = "agent_starting"
	Pausing        ID = "agent_pausing_after_crashes"
	OthersFolder   ID = "agent_state_folder_not_its_own"
	SettingsBad    ID = "settings_unreadable"
	SettingBad     ID = "settings_managed_invalid"
	SettingsUnread ID = "settings_changed_unreadable"
	Held           ID = "capture_held"
	FirstPass      ID = "capture_first_pass"
	Stalled        ID = "capture_stalled"
	NotSearchable  ID = "capture_folder_not_searchable"
	NoAccount      ID = "capture_no_account"
	AllExcluded    ID = "capture_all_excluded"
	NotReadLately  ID = "account_not_read_lately"
	KeySource      ID = "keys_source_problem"
	KeysDistrusted ID = "archive_keys_distrusted"
	ClockOff       ID = "clock_off"
	HealthUnheard  ID = "health_not_reported"
	NoMetrics      ID = "metrics_unavailable"
	Orphaned       ID = "delivery_earlier_identity_waits"
	Quarantined    ID = "delivery_quarantined"
	NoFigures      ID = "spool_figures_unreadable"
)

// The occurrences.
const (
	Started         ID = "started"
	Stopped         ID = "stopped"
	NotCleanly      ID = "had_not_stopped_cleanly"
	Enrolled        ID = "enrolled"
	BatchSetAside   ID = "batch_quarantined"
	ScopeChanged    ID = "scope_changed"
	ArchiveKeysMove ID = "archive_keys_changed"
)

var occurrences = []Occurrence{
	{Started, 1, false, Text{"The agent started.", "代理已启动。"}},
	{Stopped, 2, false, Text{"The agent stopped in good order.", "代理已正常停止。"}},
	{NotCleanly, 3, true, Text{"The agent had not stopped in good order before: it was killed, crashed or lost power. The time in between is recorded as a gap.", "代理上次未正常停止:被强制结束、崩溃或断电。其间的时间已记为缺口。"}},
	{Enrolled, 4, false, Text{"This device is enrolled with an archive.", "本设备已在归档处登记。"}},
	{BatchSetAside, 5, true, Text{"The archive refused a batch for good; it is set aside and kept.", "归档永久拒收一个批次;该批次已单独保存。"}},
	{ScopeChanged, 6, false, Text{"What is captured was changed by configuration.", "采集范围已由配置更改。"}},
	{ArchiveKeysMove, 7, false, Text{"The archive's keys changed and were followed.", "归档的密钥已更换,本设备已跟随。"}},
}

// entries is the list. Numbers are never used again.
var entries = []Entry{
	{NotRunning, Blind, 100,
		Text{"The agent is not running, nothing is captured.", "代理未运行,没有采集任何内容。"},
		Text{"start it: tidemark service start (or tidemark run)", "启动它:tidemark service start(或 tidemark run)"}},
	{NotAnswering, Blind, 101,
		Text{"It cannot be told whether the agent is running.", "无法判断代理是否在运行。"},
		Text{"ask as the user whom the service runs as (administrator, root)", "请以服务的运行用户(管理员、root)身份查询"}},
	{NotEnrolled, Blind, 102,
		Text{"This device is not enrolled with an archive, nothing is captured.", "本设备尚未在归档处登记,没有采集任何内容。"},
		Text{"enrol it: tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE", "进行登记:tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE"}},
	{IdentityLost, Blind, 103,
		Text{"This device was enrolled and has lost its identity; what it had captured is kept.", "本设备曾登记,但其身份已丢失;已采集的内容仍保留。"},
		Text{"enrol it again: tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE", "重新登记:tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE"}},
	{OtherArchive, Blind, 104,
		Text{"This device is enrolled with another archive than the one configured.", "本设备登记的归档与配置中的不同。"},
		Text{"correct archive.key, or enrol with that archive: tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE", "更正 archive.key,或在该归档处登记:tidemark enroll --url URL --key ARCHIVEKEY --token-file FILE"}},
	{CannotOpen, Blind, 105,
		Text{"The spool cannot be opened, nothing is captured.", "无法打开缓存,没有采集任何内容。"},
		Text{"look at the disk and the permissions of the state folder; capture goes on by itself when it can be written", "检查磁盘和状态文件夹的权限;可写入后采集会自动继续"}},
	{NoEndpoint, Degraded, 106,
		Text{"The agent cannot be asked for its status on this device.", "无法在本机查询代理的状态。"},
		Text{"look at the permissions of the state folder and restart the agent", "检查状态文件夹的权限并重启代理"}},
	{SettingsBad, Blind, 107,
		Text{"The settings cannot be read, so nothing is known.", "无法读取配置,情况未知。"},
		Text{"put the file or policy right that the message names; tidemark config --help lists every setting", "改正消息中指出的文件或策略;tidemark config --help 列出所有设置"}},
	{Starting, Degraded, 108,
		Text{"The agent is starting.", "代理正在启动。"},
		Text{"nothing; it takes seconds", "无需处理;只需数秒"}},
	{Pausing, Blind, 118,
		Text{"The agent has crashed several times in a row and pauses before it begins again; nothing is captured meanwhile.", "代理连续多次崩溃,重新开始前暂停一段时间;其间没有采集任何内容。"},
		Text{"look at the agent's log for what it crashes on, and report it", "在代理日志中查看崩溃原因并上报"}},
	{OthersFolder, Blind, 119,
		Text{"The state folder belongs to another user, who could replace the device's identity and keys; nothing is captured.", "状态文件夹属于其他用户,该用户可替换设备身份和密钥;没有采集任何内容。"},
		Text{"give {state_dir} with all that is in it to the user whom the service runs as, after a look at who changed it", "查明是谁更改后,将 {state_dir} 及其全部内容的所有者改为服务的运行用户"}},
	{SettingBad, Degraded, 109,
		Text{"A managed setting cannot be taken; what is in force instead is its default or what stands below it.", "某项受管设置无法采用;现用其默认值或下一级的值。"},
		Text{"put it right in the policy; tidemark config shows what is in force", "在策略中改正;tidemark config 显示现行值"}},
	{SettingsUnread, Degraded, 116,
		Text{"The settings have changed and cannot be taken; those from before are in force.", "配置已更改但无法采用;仍使用先前的配置。"},
		Text{"put them right before the next start, which would fail: tidemark config", "请在下次启动前改正,否则启动会失败:tidemark config"}},
	{Held, Blind, 115,
		Text{"Capture is held, because a managed setting that decides what is captured cannot be taken.", "由于决定采集范围的受管设置无法采用,采集已暂停。"},
		Text{"put it right in the policy; tidemark config shows what is in force", "在策略中改正;tidemark config 显示现行值"}},
	{FirstPass, Degraded, 110,
		Text{"The first look at the accounts has not finished.", "对各账号的首次读取尚未完成。"},
		Text{"nothing; a large history takes minutes", "无需处理;历史记录较多时需要几分钟"}},
	{Stalled, Degraded, 111,
		Text{"No look at the accounts has finished lately.", "最近没有完成过对各账号的读取。"},
		Text{"look at the agent's log; restart it: tidemark service stop, tidemark service start", "查看代理日志;重启:tidemark service stop,tidemark service start"}},
	{NotSearchable, Degraded, 112,
		Text{"A folder could not be searched for accounts.", "某个文件夹无法搜索账号。"},
		Text{"give the agent permission to read it, or take it out of sources", "授予代理读取权限,或将其从 sources 中移除"}},
	{NoAccount, Blind, 113,
		Text{"No WeChat account is found on this device.", "本设备上没有找到微信账号。"},
		Text{"if WeChat keeps its files elsewhere, name the folder in sources; tidemark accounts shows what is found", "如果微信文件在别处,请在 sources 中指明;tidemark accounts 显示已找到的账号"}},
	{AllExcluded, Degraded, 114,
		Text{"Every account found is out of scope by configuration.", "找到的所有账号都被配置排除在采集范围之外。"},
		Text{"look at capture.accounts: tidemark config", "检查 capture.accounts:tidemark config"}},
	{KeySource, Degraded, 120,
		Text{"A source of keys has a problem.", "某个密钥来源有问题。"},
		Text{"put the key source right; tidemark keys check shows what opens", "修复该密钥来源;tidemark keys check 显示哪些能打开"}},
	{KeysDistrusted, Degraded, 121,
		Text{"The archive offers keys that do not lead on from those in use, which stay in use.", "归档提供的密钥并非现用密钥的延续,仍使用现有密钥。"},
		Text{"tell the archive's administrator: an older copy of the archive, or something else, answers at {url}", "通知归档管理员:在 {url} 应答的是归档的旧副本或其他服务"}},
	{ClockOff, Degraded, 122,
		Text{"This device's clock differs from the archive's.", "本设备的时钟与归档不一致。"},
		Text{"set the clock, and let the system keep it (NTP); deliveries go on, the device's times in records are off", "校准时钟并启用自动校时(NTP);投递不受影响,但记录中的设备时间有偏差"}},
	{HealthUnheard, Degraded, 123,
		Text{"The archive has not taken this device's health reports lately.", "归档最近没有收到本设备的健康报告。"},
		Text{"check the network and archive.url; if deliveries work, tell the archive's administrator", "检查网络和 archive.url;若投递正常,请通知归档管理员"}},
	{NoMetrics, Degraded, 124,
		Text{"The metrics that are configured cannot be given.", "无法提供已配置的指标。"},
		Text{"look at metrics.listen and metrics.textfile: another program may have the port, or the folder may not be writable", "检查 metrics.listen 和 metrics.textfile:端口可能被占用,或文件夹不可写"}},

	{Account("excluded"), Healthy, 200,
		Text{"The account is out of scope by configuration.", "该账号被配置排除在采集范围之外。"}, Text{}},
	{Account("current"), Healthy, 201,
		Text{"Everything of the account that is committed so far has been read.", "该账号迄今已提交的内容均已读取。"}, Text{}},
	{Account("catching up"), Healthy, 202,
		Text{"The account's history is being read.", "正在读取该账号的历史记录。"}, Text{}},
	{Account("moving"), Degraded, 203,
		Text{"The client changes the database faster than it can be read.", "客户端修改数据库的速度快于读取速度。"},
		Text{"nothing, if it ends by itself; else look at what loads this computer", "若自行恢复则无需处理;否则检查是什么占用了本机"}},
	{Account("unfamiliar client"), Degraded, 204,
		Text{"There are tables or columns that this version does not know; they are kept as they are.", "存在本版本不认识的表或列;已按原样保存。"},
		Text{"update Tidemark; what it does not know is kept as it is", "更新 Tidemark;不认识的内容已按原样保存"}},
	{Account("spool full"), Degraded, 205,
		Text{"Reading has stopped until the archive takes what is waiting.", "读取已暂停,直到归档收下等待中的内容。"},
		Text{"make the archive reachable; reading goes on by itself when it has taken what waits", "恢复与归档的连接;收下等待内容后读取会自动继续"}},
	{Account("failed"), Degraded, 206,
		Text{"What was read could not be kept.", "读取到的内容无法保存。"},
		Text{"look at the agent's log; most often the disk is full", "查看代理日志;多数情况是磁盘已满"}},
	{Account("image key missing"), Degraded, 207,
		Text{"Pictures cannot be decoded: no source has a key for them.", "无法解码图片:没有任何来源提供图片密钥。"},
		Text{"give the key of its pictures: tidemark keys add --image --account {account}", "提供图片密钥:tidemark keys add --image --account {account}"}},
	{Account("empty"), Degraded, 208,
		Text{"A database is a file without a byte.", "某个数据库是空文件。"},
		Text{"log in to WeChat on this device and see whether it fills; if not, keep the file for examination", "在本机登录微信,看文件是否恢复;否则保留该文件供检查"}},
	{Account("gone"), Degraded, 209,
		Text{"A database that was there is there no longer.", "原有的某个数据库已不存在。"},
		Text{"find out who removed it; what had been read is in the archive", "查明是谁删除的;已读取的内容在归档中"}},
	{Account("not readable"), Degraded, 210,
		Text{"A database cannot be read: permission, a disk error, or it is no database.", "某个数据库无法读取:权限不足、磁盘错误,或不是数据库。"},
		Text{"give the agent permission to read {path}", "授予代理读取 {path} 的权限"}},
	{Account("corrupt"), Degraded, 211,
		Text{"Pages of a database do not verify; what can be read is captured.", "数据库的部分页校验失败;可读的内容仍会采集。"},
		Text{"nothing is lost that can be read; keep the file for examination and let WeChat repair or replace it", "可读的内容不会丢失;保留该文件供检查,并让微信修复或替换它"}},
	{Account("no message database"), Blind, 212,
		Text{"There is no database of messages that this version knows by name.", "没有本版本认识的消息数据库。"},
		Text{"log in to WeChat on this device; if that is done, this client keeps its messages in a way this version does not know: update Tidemark", "在本机登录微信;若已登录,说明该客户端以本版本不认识的方式保存消息:请更新 Tidemark"}},
	{Account("key source failed"), Blind, 213,
		Text{"A source of keys could not be asked for this account's key.", "无法向密钥来源查询该账号的密钥。"},
		Text{"look at the key sources: tidemark keys check", "检查密钥来源:tidemark keys check"}},
	{Account("key rejected"), Blind, 214,
		Text{"The key given does not open the account's database.", "所给密钥无法打开该账号的数据库。"},
		Text{"the key given is not this database's; give the right one: tidemark keys add --account {account}", "所给密钥不属于该数据库;请提供正确的密钥:tidemark keys add --account {account}"}},
	{Account("key missing"), Blind, 215,
		Text{"No source has a key for this account.", "没有任何来源提供该账号的密钥。"},
		Text{"give its key: tidemark keys add --account {account}", "提供其密钥:tidemark keys add --account {account}"}},
	{Account("notice not read"), Blind, 217,
		Text{"The account is held until its user has acknowledged the notice.", "该账号暂不采集,直到其用户确认告知书。"},
		Text{"its user reads and acknowledges the notice: tidemark notice --acknowledge", "由其用户阅读并确认告知书:tidemark notice --acknowledge"}},
	{NotReadLately, Degraded, 216,
		Text{"The account has not been read as a whole lately.", "该账号最近没有被完整读取过。"},
		Text{"look at the agent's log; a client that writes without a pause, or a computer under load, ends by itself", "查看代理日志;若是客户端持续写入或本机负载过高,会自行恢复"}},

	{Delivery("idle"), Healthy, 300, Text{"Nothing waits for the archive.", "没有等待投递的内容。"}, Text{}},
	{Delivery("delivering"), Healthy, 301, Text{"Batches are on their way to the archive.", "批次正在投递到归档。"}, Text{}},
	{Delivery("archive busy"), Degraded, 302,
		Text{"The archive asked for patience, or could not keep a batch just now.", "归档要求稍候,或暂时无法保存批次。"},
		Text{"nothing here; the archive asked for patience", "本机无需处理;归档要求稍候"}},
	{Delivery("archive unreachable"), Degraded, 303,
		Text{"There is no connection to the archive; everything is kept.", "无法连接归档;所有内容均已保留。"},
		Text{"check the network and archive.url; everything is kept and delivered later", "检查网络和 archive.url;所有内容均保留,稍后投递"}},
	{Delivery("not the archive"), Degraded, 304,
		Text{"What answers is not the archive whose key is pinned; everything is kept.", "应答的不是密钥已固定的归档;所有内容均已保留。"},
		Text{"sign in to the network if it asks for that, then check archive.url and any proxy", "如网络需要登录请先登录,然后检查 archive.url 和代理"}},
	{Delivery("not enrolled"), Degraded, 305,
		Text{"The archive does not know this device, or has revoked it.", "归档不认识本设备,或已将其吊销。"},
		Text{"enrol this device again: tidemark enroll", "重新登记本设备:tidemark enroll"}},
	{Delivery("refused"), Degraded, 306,
		Text{"The archive refuses the oldest batch.", "归档拒收最早的批次。"},
		Text{"tell the archive's administrator; everything is kept", "通知归档管理员;所有内容均已保留"}},
	{Delivery("fork"), Degraded, 307,
		Text{"The archive's chain is another than this device's: one of them was restored or copied.", "归档的链与本设备的不同:其中之一曾被还原或复制。"},
		Text{"tell the archive's administrator: this device or the archive was restored or copied, and the archive does not take what follows; everything is kept", "通知归档管理员:本设备或归档曾被还原或复制,归档不接受后续内容;所有内容均已保留"}},
	{Orphaned, Degraded, 308,
		Text{"What this device sealed under an earlier identity is not delivered yet.", "本设备以先前身份封存的内容尚未投递。"},
		Text{"make the archive reachable; if it refuses, tell its administrator: everything is kept in {state_dir}", "恢复与归档的连接;若被拒收请通知其管理员:所有内容保存在 {state_dir}"}},
	{Quarantined, Degraded, 309,
		Text{"Batches that the archive refuses for good are set aside.", "归档永久拒收的批次已单独保存。"},
		Text{"tidemark spool quarantine says why; when the archive takes them, stop the agent and run tidemark spool replay", "tidemark spool quarantine 显示原因;归档可接收后,停止代理并运行 tidemark spool replay"}},

	{Spool("ok"), Healthy, 400, Text{"The spool takes what is captured.", "缓存正常接收采集内容。"}, Text{}},
	{Spool("filling"), Degraded, 401,
		Text{"Nine tenths of the spool's quota are waiting; when it is full, reading stops.", "缓存配额已用九成;用满后读取会停止。"},
		Text{"make the archive reachable, or raise spool.max_bytes", "恢复与归档的连接,或提高 spool.max_bytes"}},
	{Spool("full"), Blind, 402,
		Text{"The spool is full and reading has stopped until at most seven tenths wait.", "缓存已满,读取已停止,直到等待内容降至七成以下。"},
		Text{"make the archive reachable, or raise spool.max_bytes", "恢复与归档的连接,或提高 spool.max_bytes"}},
	{Spool("low disk"), Blind, 403,
		Text{"Less of the disk is free than is to stay free: reading has stopped.", "磁盘可用空间低于保留下限:读取已停止。"},
		Text{"make room on the disk of {state_dir}, or lower spool.min_free", "为 {state_dir} 所在磁盘腾出空间,或降低 spool.min_free"}},
	{Spool("disk error"), Blind, 404,
		Text{"The spool cannot be written, nothing is captured.", "缓存无法写入,没有采集任何内容。"},
		Text{"look at the disk and the permissions of the state folder; capture goes on by itself when it can be written", "检查磁盘和状态文件夹的权限;可写入后采集会自动继续"}},
	{Spool("damaged"), Degraded, 405,
		Text{"The spool was found damaged and is about to be healed.", "发现缓存损坏,即将自动修复。"},
		Text{"nothing; it heals itself and tells the archive what was lost, if anything", "无需处理;会自动修复,并将损失(如有)告知归档"}},
	{NoFigures, Degraded, 406,
		Text{"The spool's figures cannot be read.", "无法读取缓存的统计数字。"},
		Text{"look at the disk and the agent's log", "检查磁盘和代理日志"}},
}
