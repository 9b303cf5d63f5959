package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidemark/agent"
	"tidemark/agent/config"
	"tidemark/seal"
)

func (a *app) enrollCommand() *cobra.Command {
	var url, key, tokenFile string
	cmd := &cobra.Command{
		Use:   "enroll --url URL --key ARCHIVEKEY --token-file FILE",
		Short: "Make this device known to the archive",
		Long: `Fetches the archive's key document, checks that it is the one ARCHIVEKEY names, and
makes this device known to the archive with an enrolment token.

When many devices enrol at once the archive asks some to wait; this waits and goes on,
for an hour at most.

A service does the same by itself when the settings name the archive, its key and a
token: archive.url, archive.key, and archive.token or archive.token_file.

It may be repeated. --url and --key default to archive.url and archive.key of the
configuration; "-" reads the token from standard input.`,
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.load()
			if err != nil {
				return err
			}
			if url == "" {
				url = c.ArchiveURL
			}
			if key == "" {
				key = c.ArchiveKey
			}
			switch {
			case url == "":
				return usage(errors.New("--url is needed: where the archive is"))
			case key == "":
				return usage(errors.New("--key is needed: the archive's key, which tidemark-archive init printed"))
			}
			if err := config.CheckURL(url); err != nil {
				return usage(fmt.Errorf("--url %q %w", url, err))
			}
			if _, err := seal.ParseArchiveKey(key); err != nil {
				return usage(fmt.Errorf("--key: %w", err))
			}
			token, err := readToken(tokenFile, cmd.InOrStdin())
			if err != nil {
				return err
			}
			waiting := func(d time.Duration) {
				fmt.Fprintf(cmd.ErrOrStderr(), "tidemark: the archive is busy; asking again in %s\n", d.Round(time.Second))
			}
			done, err := agent.Enrol(cmd.Context(), c, agent.EnrolOptions{URL: url, Key: key, Token: token, Version: buildVersion(), Waiting: waiting})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "enrolled %s with %s at %s\n", done.Device, done.Archive, done.URL)
			return err
		}),
	}
	cmd.Flags().StringVar(&url, "url", "", "where the archive is, `https://…`")
	cmd.Flags().StringVar(&key, "key", "", "the archive's key, `tmk1…`")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "`FILE` that holds the enrolment token, or - for standard input")
	cmd.MarkFlagRequired("token-file")
	return cmd
}

// readToken reads the enrolment token, which must not stand on a command line for
// every user to see.
func readToken(file string, stdin io.Reader) (string, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read enrolment token: %w", err)
		}
		defer f.Close()
		in = f
	}
	token, err := agent.ReadToken(in)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return token, nil
}
