package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive"
	"tidemark/seal"
)

// maxRecipientFile is more than the public half of a recipient's key takes.
const maxRecipientFile = 64 << 10

func rolloverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollover --dir DIR",
		Short: "Replace the archive's keys; print the new ARCHIVEKEY",
		Long: "Makes a new receipt key, and a new recipient key in place of the archive's own, and signs\n" +
			"the new key document with the old receipt key. Agents that were given an older ARCHIVEKEY follow\n" +
			"by themselves; new ones may be given either. Old recipient keys stay, for what was sealed to\n" +
			"them; recipients whose private keys are elsewhere stay as they are. Stop serve first.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeKeys(cmd, archive.Change{NewKeys: true})
		},
	}
	return withDir(cmd)
}

func changeKeys(cmd *cobra.Command, c archive.Change) error {
	f, err := folder(cmd)
	if err != nil {
		return err
	}
	key, err := f.ChangeKeys(cmd.Context(), c, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), key)
	fmt.Fprintf(cmd.ErrOrStderr(), "tidemark-archive: hint: back up %s and %s now\n", f.Keys(), f.Succession())
	return nil
}

func recipientCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recipient new|add|remove|list",
		Short: "Further keys that can open what devices seal",
		Long: "Devices seal to every recipient of the key document. A second one, whose private key is kept\n" +
			"offline, reads everything when the archive's own key is lost:\n\n" +
			"  tidemark-archive recipient new --out offline.pem > offline.json    on a machine that stays offline\n" +
			"  tidemark-archive recipient add --dir DIR offline.json              or init --recipient offline.json\n\n" +
			"To use it, put offline.pem into a copy of the archive, as keys/recipient-offline.pem.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q", "recipient "+args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(recipientNewCommand(), recipientAddCommand(), recipientRemoveCommand(), recipientListCommand())
	return cmd
}

func recipientNewCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "new --out FILE",
		Short: "Make a recipient's key; print its public half",
		Long:  "Writes the private key to a new file, for its owner alone, and prints the public half as JSON.\nIt needs no archive.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usage("--out is required: the file for the private key")
			}
			public, err := archive.NewOfflineRecipient(out)
			if err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), public)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the private key to this `FILE`, which must not be there yet")
	return cmd
}

func recipientAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add --dir DIR FILE",
		Short: "Let devices seal to one more recipient; print the new ARCHIVEKEY",
		Long:  "Takes the public half that recipient new printed, and makes a new key document, signed by the\narchive's receipt key. Agents follow by themselves. Stop serve first.",
		Args:  oneArg("the file with the recipient's public half"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := readRecipient(args[0])
			if err != nil {
				return err
			}
			return changeKeys(cmd, archive.Change{Add: []seal.RecipientKey{r}})
		},
	}
	return withDir(cmd)
}

func recipientRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove --dir DIR ID",
		Short: "Let devices no longer seal to a recipient; print the new ARCHIVEKEY",
		Long:  "What was sealed to it can still be opened with its key. Agents follow by themselves. Stop serve first.",
		Args:  oneArg("the recipient's id, as recipient list prints it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeKeys(cmd, archive.Change{Remove: args})
		},
	}
	return withDir(cmd)
}

func recipientListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list --dir DIR",
		Short: "Print the recipients' ids, and whether their private keys are here",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			k, err := f.LoadKeys()
			if err != nil {
				return err
			}
			for _, r := range k.Archive.Document.Recipients {
				where := "elsewhere"
				for _, private := range k.Recipients {
					if string(private.PublicKey().Bytes()) == string(r.PublicKey) {
						where = "here"
					}
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", r.ID, where)
			}
			return nil
		},
	}
	return withDir(cmd)
}

// readRecipient reads what recipient new printed.
func readRecipient(name string) (seal.RecipientKey, error) {
	var r seal.RecipientKey
	f, err := os.Open(name)
	if err != nil {
		return r, fmt.Errorf("read recipient: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecipientFile))
	if err != nil {
		return r, fmt.Errorf("read recipient: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil || r.ID == "" { // err may quote what is in a wrong file: a key
		return r, fmt.Errorf("read recipient: %s is not what tidemark-archive recipient new prints", name)
	}
	return r, nil
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("%s takes one argument: %s", cmd.Name(), what)
		}
		return nil
	}
}
