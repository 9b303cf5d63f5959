package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidemark/agent/config"
)

// effective is what "tidemark config --json" prints.
type effective struct {
	Settings []config.Setting `json:"settings"`
	Problems []*config.Error  `json:"problems"` // of managed settings
	Held     bool             `json:"held"`     // capture is held because of one of them
}

func (a *app) configCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Every setting's value and where it comes from",
		Long: `Prints every setting in force and where it comes from: managed policy, the
environment, the configuration file, the installation or the default. What policy has
and cannot be taken is named below, with the default in force instead; a running agent
takes up a changed policy by itself ("tidemark status" says whether it has).

Settings:
` + manual(),
		Args: cobra.NoArgs,
		RunE: a.work(func(cmd *cobra.Command, _ []string) error {
			c, settings, err := a.load()
			if err != nil {
				return err
			}
			e := effective{settings, c.Problems, len(c.Held()) > 0}
			if e.Problems == nil {
				e.Problems = []*config.Error{}
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), e)
			}
			return e.writeText(cmd.OutOrStdout())
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (e *effective) writeText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, s := range e.Settings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Key, valueText(s.Value), strings.TrimSpace(s.Origin+" "+s.Where))
	}
	err := t.Flush()
	for _, p := range e.Problems {
		if err == nil {
			_, err = fmt.Fprintf(w, "problem: %v\n", p)
		}
	}
	if e.Held && err == nil {
		_, err = fmt.Fprintln(w, "capture is held until what decides the scope is put right")
	}
	return err
}

// manual lists the settings as config.Keys defines them.
func manual() string {
	var b strings.Builder
	for _, k := range config.Keys() {
		fmt.Fprintf(&b, "\n  %s  (%s; default %s)\n      %s\n", k.Name, k.Form(), valueText(k.Default), k.Doc)
	}
	return b.String()
}
