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
		Short: "The keys of databases and images that the organisation gives",
		Long: `Keys are given, never looked for: by a file or a helper program that the
configuration names (keys), or here by an administrator. No command shows a key.`,
	}, a.keysAdd(), a.keysList(), a.keysRemove(), a.keysCheck())
}

// keyTarget is what a key is for: an account's databases, its images, or one database.
type keyTarget struct {
	account, salt string
	image         bool
}

func (t *keyTarget) flags(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.account, "account", "", "WeChat `USERNAME` of the account's owner, or the account as tidemark accounts shows it")
	cmd.Flags().StringVar(&t.salt, "salt", "", "`SALT` of one database, its first 16 bytes as 32 hex digits")
	cmd.Flags().BoolVar(&t.image, "image", false, "the key of the account's images, not of its databases")
	cmd.MarkFlagsOneRequired("account", "salt")
	cmd.MarkFlagsMutuallyExclusive("account", "salt")
	cmd.MarkFlagsMutuallyExclusive("image", "salt")
	cmd.RegisterFlagCompletionFunc("account", a.completeAccounts)
}

func (t *keyTarget) String() string {
	switch {
	case t.salt != "":
		return "database " + strings.ToLower(t.salt)
	case t.image:
		return "images of account " + t.account
	}
	return "account " + t.account
}

func (a *app) keysAdd() *cobra.Command {
	var target keyTarget
	var xor string
	cmd := &cobra.Command{
		Use:   "add --account USERNAME [--image [--xor BYTE]] | --salt SALT",
		Short: "Keep a key, read from standard input",
		Long: `Reads a key from standard input: 64 hex digits, or 96 when they end with the salt of
the one database it opens. With --image it is the key of the account's images: 16
characters, 32 characters of which the first 16 count, or 32 hex digits. The key is kept
in the state folder, readable by this user alone. A database key is tried at once; one
that opens nothing is kept and told.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			if xor != "" && !target.image {
				return usage(errors.New("--xor goes with --image"))
			}
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
			hint := "a key is 64 hex digits on standard input, or 96 with the database's salt; a key of images is given with --image"
			switch store := agent.KeyStore(c); {
			case target.salt != "":
				err = store.AddDatabase(target.salt, text)
			case target.image:
				hint = "an image key is 16 or 32 characters, or 32 hex digits, on standard input; --xor is 2 hex digits"
				err = store.AddImage(target.account, text, xor)
			default:
				err = store.AddAccount(target.account, text)
			}
			if errors.Is(err, keys.ErrFormat) {
				return hinted{err, hint}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key kept for %s\n", &target)
			if target.account == "" || target.image {
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
	cmd.Flags().StringVar(&xor, "xor", "", "the `BYTE` that the end of each image is XORed with, as 2 hex digits, where it is known")
	return cmd
}

// maxKey bounds what is read of standard input.
const maxKey = 4096

func readKey(in io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxKey))
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
			fmt.Fprintln(t, "kind\taccount\tdatabase salt\tfrom")
			for _, l := range listed {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", dash(l.Kind), dash(l.Account), dash(l.Salt), l.Source)
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
		Use:   "remove --account USERNAME [--image] | --salt SALT",
		Short: "Forget keys that were added on this device",
		Long: `Forgets the keys of an account's databases, with --image those of its images instead,
or the key of one database. Keys of files and helpers are removed there.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			switch store := agent.KeyStore(c); {
			case target.salt != "":
				err = store.RemoveDatabase(target.salt)
			case target.image:
				err = store.RemoveImages(target.account)
			default:
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
		Long: `Tries the keys on page 1 of each account's databases, of every generation of the client.
Ends with 0 only if every database in scope opens. Of an image key only an image can tell
whether it is right, so it is said whether there is one.`,
		Args: cobra.NoArgs,
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
		if i.ImageKey {
			fmt.Fprintf(t, "  images\tkey given\t\n")
		}
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
