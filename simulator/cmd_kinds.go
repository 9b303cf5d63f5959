package main

import (
	"encoding/json"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"tidemark/simulator/account"
	"tidemark/simulator/kinds"
)

// kindsCommand lets decoders outside this module be tried on every kind of message.
func kindsCommand() *cobra.Command {
	g, seed := account.V4, uint64(1)
	cmd := &cobra.Command{
		Use:   "kinds",
		Short: "A message of every kind, and what a decoder must make of it, as JSON lines",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetEscapeHTML(false)
			for _, it := range kinds.All(kinds.Example(g, rand.New(rand.NewPCG(seed, 0)), time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC))) {
				if err := out.Encode(it); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().Var(&g, "generation", "of the client: v4, w3 or m3")
	cmd.Flags().Uint64Var(&seed, "seed", seed, "what is said depends on it")
	return cmd
}
