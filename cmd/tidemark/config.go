package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidemark/agent/config"
	"tidemark/agent/config/template"
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
		Use:   "config [NAME...]",
		Short: "Every setting's value and where it comes from",
		Long: `Prints every setting in force, or those named, and where each comes from: managed
policy, the environment, the configuration file, the installation or the default. What
policy has and cannot be taken is named below, with the default in force instead; a
running agent takes up a changed policy by itself ("tidemark status" says what is wrong).

Settings:
` + manual(),
		Args:              settingNames,
		ValidArgsFunction: completeSettings,
		RunE: a.work(func(cmd *cobra.Command, names []string) error {
			c, settings, err := a.load()
			if err != nil {
				return err
			}
			if len(names) > 0 {
				settings = slices.DeleteFunc(settings, func(s config.Setting) bool { return !slices.Contains(names, s.Key) })
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
	cmd.AddCommand(a.configCheckCommand(), a.configTemplateCommand())
	return cmd
}

// settingNames demands names of settings.
func settingNames(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if !slices.ContainsFunc(config.Keys(), func(k config.Key) bool { return k.Name == name }) {
			return fmt.Errorf("%s: no such setting; tidemark config lists them", name)
		}
	}
	return nil
}

func completeSettings(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	for _, k := range config.Keys() {
		out = append(out, cobra.CompletionWithDesc(k.Name, k.Doc))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check NAME=VALUE...",
		Short: "Whether settings would take these values; changes nothing",
		Long: `Says whether each value obeys its setting's rule, before a policy or a file with it
goes out. Values are written as in a file on one line; items of a list are separated by
commas. Ends with 1 when one cannot be taken.`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeAssignments,
		RunE: a.work(func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				name, value, ok := strings.Cut(arg, "=")
				if !ok {
					return usage(fmt.Errorf("%s: must be NAME=VALUE", arg))
				}
				if err := config.Check(name, value); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// completeAssignments completes a setting's name and then the values it may have.
func completeAssignments(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	for _, k := range config.Keys() {
		if !strings.HasPrefix(typed, k.Name+"=") {
			out = append(out, cobra.CompletionWithDesc(k.Name+"=", k.Form()))
			continue
		}
		choices := k.Choices()
		if len(choices) == 0 && k.Default != "" {
			choices = []string{k.Default}
		}
		for _, c := range choices {
			out = append(out, k.Name+"="+c)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (a *app) configTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "template [NAME]",
		Short: "Templates of settings for Windows policies, macOS profiles and files",
		Long: `Prints a template as this version knows it, or lists them: administrative templates
for group policy and Intune, profiles for macOS, an example of a configuration or policy
file, and a JSON Schema. docs/configuration.md says where each goes.`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var out []cobra.Completion
			for _, f := range template.Files() {
				out = append(out, cobra.CompletionWithDesc(f.Name, f.Purpose))
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: a.work(func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
				for _, f := range template.Files() {
					fmt.Fprintf(t, "%s\t%s\n", f.Name, f.Purpose)
				}
				return t.Flush()
			}
			for _, f := range template.Files() {
				if f.Name == args[0] {
					_, err := cmd.OutOrStdout().Write(f.Content)
					return err
				}
			}
			return usage(fmt.Errorf("%s: no such template; tidemark config template lists them", args[0]))
		}),
	}
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
