package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidemark/archive"
)

var sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)

func mediaCommand() *cobra.Command {
	var list, asJSON bool
	var sum, out string
	cmd := &cobra.Command{
		Use:   "media --dir DIR (--list [--json] | --sha256 X [--out FILE])",
		Short: "List pictures, voices, videos and files, or write one",
		Long: "With --list, lists every content that the archive has pieces of. With --sha256, puts one\n" +
			"together, checks its hash, and writes it to FILE, which must not be there yet, or to\n" +
			"standard output. Works while serve runs; it needs the archive's recipient key.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			switch {
			case list == (sum != ""):
				return usage("media takes either --list or --sha256")
			case list && out != "":
				return usage("--out goes with --sha256")
			case list:
				return listMedia(cmd, f, asJSON)
			case !sha256Form.MatchString(sum):
				return usage("--sha256 %q: use 64 hex digits in lower case", sum)
			}
			return writeMedium(cmd, f, sum, out)
		},
	}
	fl := cmd.Flags()
	fl.BoolVar(&list, "list", false, "list what there is")
	fl.BoolVar(&asJSON, "json", false, "list as JSON")
	fl.StringVar(&sum, "sha256", "", "the content to write")
	fl.StringVar(&out, "out", "", "the file to write it to; default standard output")
	return withDir(cmd)
}

func listMedia(cmd *cobra.Command, f archive.Folder, asJSON bool) error {
	media, err := archive.Media(cmd.Context(), f)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), media)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SHA256\tSIZE\tHELD\tTYPE\tMESSAGES\tNAME")
	for _, m := range media {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%d\t%s\n", m.SHA256, m.Size, m.Held, printable(m.MIME), len(m.Messages), printable(m.Name))
	}
	return t.Flush()
}

// writeMedium writes a content. Nobody must take for it what turns out to have another
// hash at the end: a file has its name only then, and for standard output everything is
// read once before, so that no plaintext is left in temporary files.
func writeMedium(cmd *cobra.Command, f archive.Folder, sum, name string) error {
	m, err := f.OpenMedia()
	if err != nil {
		return err
	}
	defer m.Close()
	if name == "" {
		if err := m.Copy(cmd.Context(), sum, io.Discard, func() error { return nil }); err != nil {
			return err
		}
		out := bufio.NewWriterSize(cmd.OutOrStdout(), 256<<10)
		if err := m.Copy(cmd.Context(), sum, out, nil); err != nil {
			return err
		}
		return out.Flush()
	}
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("write content: %s: %w", name, os.ErrExist)
	}
	part, err := os.OpenFile(name+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write content: %w", err)
	}
	err = m.Copy(cmd.Context(), sum, part, func() error {
		_, err := part.Seek(0, io.SeekStart)
		return errors.Join(err, part.Truncate(0))
	})
	if err == nil {
		err = part.Sync()
	}
	err = errors.Join(err, part.Close())
	if err == nil {
		err = os.Rename(part.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return nil
}
