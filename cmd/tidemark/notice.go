package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/agent/config"
	"tidemark/agent/disclosure"
)

// noticeFlags are the choices of "tidemark notice".
type noticeFlags struct {
	acknowledge, unowned, session, asJSON bool
	language                              string
	again                                 time.Duration // between looks of a session; tests shorten it
}

func (a *app) noticeCommand() *cobra.Command {
	f := noticeFlags{again: 15 * time.Second}
	cmd := &cobra.Command{
		Use:   "notice",
		Short: "What the users of this device are told of the recorder; acknowledge it",
		Long: `Prints the notice of the organisation that records, and whether you have
acknowledged it. With --acknowledge you say that you have read it: that is kept in a
file of your profile and recorded in the archive.

--session waits in a user's session and shows the notice in a window, once one of the
user's accounts is found that is, or is to be, recorded. The packages start it when a
user logs in. It ends when the notice was acknowledged or put off; put off, it is shown
again at the next login.

An account whose user cannot be told, such as one in a folder of "sources" that is no
user's, is acknowledged by an administrator with --acknowledge --unowned.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error { return a.notice(cmd, f) }),
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.acknowledge, "acknowledge", false, "say that you have read it")
	flags.BoolVar(&f.unowned, "unowned", false, "with --acknowledge: for accounts whose user cannot be told; for administrators")
	flags.BoolVar(&f.session, "session", false, "show it in a window of this session when it is due")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	flags.StringVar(&f.language, "language", "", "`LANGUAGE` of the built-in texts, en or zh (default: the system's)")
	cmd.MarkFlagsMutuallyExclusive("session", "acknowledge")
	cmd.MarkFlagsMutuallyExclusive("session", "json")
	cmd.RegisterFlagCompletionFunc("language", cobra.FixedCompletions([]string{disclosure.English, disclosure.Chinese}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// noticeJSON is what --json prints.
type noticeJSON struct {
	disclosure.Notice
	Words        string                      `json:"words"` // the whole notice, in the language asked for
	Acknowledged *disclosure.Acknowledgement `json:"acknowledged,omitempty"`
}

func (a *app) notice(cmd *cobra.Command, f noticeFlags) error {
	language, err := f.chosen()
	if err != nil {
		return err
	}
	public, state := a.folders()
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	if f.unowned {
		if !f.acknowledge {
			return usage(errors.New("--unowned goes with --acknowledge"))
		}
		home = state
	}
	if f.session {
		detachConsole()
		return waitNotice(cmd.Context(), public, home, language, f.again)
	}
	m, err := disclosure.ReadManifest(public)
	if err != nil {
		return err
	}
	n := m.Notice
	if f.acknowledge {
		if !n.Active() {
			return hinted{errors.New("there is nothing to acknowledge: the organisation has switched the notice off"), "tidemark mine shows what is recorded"}
		}
		if _, err := disclosure.Acknowledge(home, n, userName(), language, time.Now()); err != nil {
			return err
		}
	}
	list, err := disclosure.Acknowledged(home)
	if err != nil {
		return err
	}
	out := noticeJSON{Notice: n, Words: n.In(language)}
	if ack, ok := n.Find(list); ok {
		out.Acknowledged = &ack
	}
	if f.asJSON {
		return writeJSON(cmd.OutOrStdout(), out)
	}
	w := wordsOf(language)
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s %s\n", out.Words, w.version, n.Version)
	switch {
	case out.Acknowledged != nil:
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", w.acknowledged, out.Acknowledged.At.Local().Format(time.DateTime))
	case n.Active():
		fmt.Fprintln(cmd.OutOrStdout(), w.notAcknowledged)
	}
	return nil
}

// chosen is the language of texts.
func (f noticeFlags) chosen() (string, error) {
	switch f.language {
	case "":
		return systemLanguage(), nil
	case disclosure.English, disclosure.Chinese:
		return f.language, nil
	}
	return "", usage(fmt.Errorf("--language %q: must be en or zh", f.language))
}

// folders are the public and the state folder. A user who may not read the
// configuration is told by what the agent of this system writes for all.
func (a *app) folders() (public, state string) {
	c, _, err := a.load()
	if err != nil {
		c, _, err = config.Load(config.Options{File: os.DevNull, PolicyDir: os.DevNull})
		if err != nil {
			c = new(config.Config)
		}
	}
	return c.PublicDir(), c.StateDir
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// waitNotice waits until the notice is due to this user and shows it.
func waitNotice(ctx context.Context, public, home, language string, again time.Duration) error {
	t := time.NewTicker(again)
	defer t.Stop()
	for {
		mine, err := agent.MineOf(public, home, time.Now())
		switch {
		case errors.Is(err, disclosure.ErrNoManifest):
		case err != nil:
			return err
		case mine.Acknowledged != nil || !mine.Manifest.Notice.Active():
		case mine.Due():
			read, err := disclosure.Show(ctx, mine.Manifest.Notice.In(language), disclosure.LabelsIn(language))
			if err != nil {
				return hinted{err, "read it in a terminal: tidemark notice"}
			}
			if read {
				_, err = disclosure.Acknowledge(home, mine.Manifest.Notice, userName(), language, time.Now())
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// words are those of notice and mine beside the notice itself.
type words struct {
	version, acknowledged, notAcknowledged string
	recorder, runs, stopped, asOf, into    string
	accounts, none, captured, excluded     string
	unknown, notNow, lastRead, since       string
	scope, left, files, noFiles, upTo      string
	noLimit, history, held                 string
}

func wordsOf(language string) words {
	if language == disclosure.Chinese {
		return words{
			"版本", "您已于以下时间确认：", "您尚未确认。请运行 tidemark notice --acknowledge。",
			"记录程序", "正在运行", "未在运行", "截至", "送往",
			"您的微信账号", "没有找到", "正在留存", "不在留存范围内",
			"尚未检查", "目前未留存", "最近读取", "自",
			"留存范围", "不含", "文件", "不留存文件", "单个不超过",
			"大小不限", "历史消息", "因设置有误，暂不留存任何内容",
		}
	}
	return words{
		"version", "you acknowledged it on", "You have not acknowledged it yet: tidemark notice --acknowledge",
		"recorder", "runs", "does not run", "as of", "into",
		"Your WeChat accounts", "none is found", "recorded", "not recorded: out of scope",
		"not looked at yet", "not recorded now", "last read", "since",
		"conversations", "without", "files", "none", "each up to",
		"of any size", "history", "records nothing at the moment, for its settings are wrong",
	}
}

// listText is a rule's list for a person.
func listText(list []string) string { return strings.Join(list, ", ") }
