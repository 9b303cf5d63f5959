package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/collector/keys"
)

func (a *app) keysCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "keys",
		Short: "The database keys that the organisation gives",
		Long: `Keys are given, never looked for: by a file or a helper program that the
configuration names (keys), or here by an administrator. No command shows a key.`,
	}, a.keysAdd(), a.keysList(), a.keysRemove(), a.keysCheck())
}

// keyTarget is the account or the database that a key is for.
type keyTarget struct{ account, salt string }

func (t *keyTarget) flags(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.account, "account", "", "WeChat `USERNAME` of the account's owner")
	cmd.Flags().StringVar(&t.salt, "salt", "", "`SALT` of one database, its first 16 bytes as 32 hex digits")
	cmd.MarkFlagsOneRequired("account", "salt")
	cmd.MarkFlagsMutuallyExclusive("account", "salt")
	cmd.RegisterFlagCompletionFunc("account", a.completeAccounts)
}

func (t *keyTarget) String() string {
	if t.salt != "" {
		return "database " + strings.ToLower(t.salt)
	}
	return "account " + t.account
}

func (a *app) keysAdd() *cobra.Command {
	var target keyTarget
	cmd := &cobra.Command{
		Use:   "add --account USERNAME | --salt SALT",
		Short: "Keep a key, read in hex from standard input",
		Long: `Reads a key from standard input: 64 hex digits, or 96 when they end with the salt of
the one database it opens. The key is kept in the state folder, readable by this
user alone. It is tried at once; one that opens nothing is kept and told.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			text, err := readKey(cmd.InOrStdin())
			if err != nil {
				return err
			}
			if err := agent.MakeStateDir(c); err != nil {
				return err
			}
			store := agent.KeyStore(c)
			if target.salt != "" {
				err = store.AddDatabase(target.salt, text)
			} else {
				err = store.AddAccount(target.account, text)
			}
			if errors.Is(err, keys.ErrFormat) {
				return hinted{err, "a key is 64 hex digits on standard input, or 96 with the database's salt"}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key kept for %s\n", &target)
			if target.account == "" {
				return nil
			}
			infos, _, err := agent.Accounts(cmd.Context(), c)
			if err != nil {
				return err
			}
			for _, i := range infos {
				if i.Account == target.account && i.Key == agent.KeyRejected {
					fmt.Fprintf(cmd.ErrOrStderr(), "tidemark: warning: no database of %s opens with the keys there are; tidemark keys check --account %s\n", i.Account, i.Account)
				}
			}
			return nil
		}),
	}
	target.flags(a, cmd)
	return cmd
}

func readKey(in io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", hinted{errors.New("read key: standard input is empty"), "tidemark keys add --account USERNAME < FILE"}
	}
	return text, nil
}

func (a *app) keysList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "For what there are keys, and where from",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			ring, err := agent.KeyRing(c)
			if err != nil {
				return err
			}
			listed, failed := ring.List()
			if asJSON {
				if listed == nil {
					listed = []keys.Listed{}
				}
				return errors.Join(writeJSON(cmd.OutOrStdout(), listed), failed)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(t, "account\tdatabase salt\tfrom")
			for _, l := range listed {
				fmt.Fprintf(t, "%s\t%s\t%s\n", dash(l.Account), dash(l.Salt), l.Source)
			}
			return errors.Join(t.Flush(), failed)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *app) keysRemove() *cobra.Command {
	var target keyTarget
	cmd := &cobra.Command{
		Use:   "remove --account USERNAME | --salt SALT",
		Short: "Forget keys that were added on this device",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			store := agent.KeyStore(c)
			if target.salt != "" {
				err = store.RemoveDatabase(target.salt)
			} else {
				err = store.RemoveAccount(target.account)
			}
			if errors.Is(err, keys.ErrNotFound) {
				return hinted{fmt.Errorf("%w for %s", err, &target), "tidemark keys list shows which there are; keys of files and helpers are removed there"}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "key forgotten for %s\n", &target)
			return err
		}),
	}
	target.flags(a, cmd)
	return cmd
}

func (a *app) keysCheck() *cobra.Command {
	var account string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [--account USERNAME]",
		Short: "Whether each database opens with the keys there are",
		Long:  "Tries the keys on each account's databases. Ends with 0 only if every database in scope opens.",
		Args:  cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			infos, err := a.accounts(cmd)
			if err != nil {
				return err
			}
			shown, good := []agent.AccountInfo{}, true
			for _, i := range infos {
				if account != "" && i.Account != account {
					continue
				}
				shown = append(shown, i)
				good = good && (i.Key == agent.KeyOpens || (account == "" && !i.InScope))
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), shown)
			} else {
				err = writeChecks(cmd.OutOrStdout(), shown)
			}
			switch {
			case err != nil:
				return err
			case len(shown) == 0:
				return hinted{errors.New("no such WeChat account is found on this device"), "tidemark accounts shows which there are; sources names more folders to search"}
			case !good:
				return hinted{errors.New("not every database opens"), "give the right key: tidemark keys add --account USERNAME"}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&account, "account", "", "only this WeChat `USERNAME`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RegisterFlagCompletionFunc("account", a.completeAccounts)
	return cmd
}

func writeChecks(w io.Writer, infos []agent.AccountInfo) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, i := range infos {
		fmt.Fprintf(t, "%s\t%s\t%s\n", i.Account, keyWords(i), i.Cause)
		for _, d := range i.Databases {
			result := "does not open"
			if d.Opens {
				result = "opens"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\n", d.File, result, d.Cause)
		}
	}
	return t.Flush()
}
