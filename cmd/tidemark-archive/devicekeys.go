package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive/registry"
	"tidemark/seal"
)

func deviceKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys list|give|take",
		Short: "Database keys that devices get from the archive, sealed to each",
		Long: "An agent whose settings name the key source \"archive\" asks for keys. What is given to a\n" +
			"device is sealed to it here, before it is stored: the archive passes on what it cannot read.\n\n" +
			"  tidemark-archive keys list --dir DIR\n" +
			"  tidemark-archive keys give --dir DIR --device d_… < keys.json     the key file, as on a laptop\n" +
			"  tidemark-archive keys take --dir DIR --device d_…",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q", "keys "+args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(keysListCommand(), keysGiveCommand(), keysTakeCommand())
	return cmd
}

// withRegistry opens the archive's registry for a command. It works while a server runs.
func withRegistry(cmd *cobra.Command, work func(*registry.Registry) error) error {
	f, err := folder(cmd)
	if err != nil {
		return err
	}
	r, err := f.OpenRegistry()
	if err != nil {
		return err
	}
	return errors.Join(work(r), r.Close())
}

// deviceOf is the device that --device names, as one that has asked for keys.
func deviceOf(cmd *cobra.Command, r *registry.Registry, name string) (registry.DeviceKeys, error) {
	id, err := seal.ParseDeviceID(name)
	if err != nil {
		return registry.DeviceKeys{}, usage("--device %q: %v", name, err)
	}
	list, err := r.Keys(cmd.Context())
	if err != nil {
		return registry.DeviceKeys{}, err
	}
	for _, k := range list {
		if k.Device == id {
			return k, nil
		}
	}
	return registry.DeviceKeys{}, fmt.Errorf("%s: %w; its settings must name the key source: keys: [{source: archive}]", id, registry.ErrNoRecipient)
}

func keysListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list --dir DIR [--json]",
		Short: "The devices that have asked for keys, and whether they have some",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withRegistry(cmd, func(r *registry.Registry) error {
				list, err := r.Keys(cmd.Context())
				if err != nil {
					return err
				}
				type line struct {
					Device string    `json:"device"`
					Asked  time.Time `json:"asked"`
					Given  time.Time `json:"given,omitzero"`
				}
				lines := []line{}
				for _, k := range list {
					lines = append(lines, line{k.Device.String(), k.Asked, k.Given})
				}
				if asJSON {
					enc := json.NewEncoder(cmd.OutOrStdout())
					enc.SetIndent("", "  ")
					return enc.Encode(lines)
				}
				for _, l := range lines {
					given := "nothing given"
					if !l.Given.IsZero() {
						given = "given " + l.Given.Format(time.RFC3339)
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s  asked %s  %s\n", l.Device, l.Asked.Format(time.RFC3339), given)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return withDir(cmd)
}

func keysGiveCommand() *cobra.Command {
	var device string
	cmd := &cobra.Command{
		Use:   "give --dir DIR --device DEVICE < FILE",
		Short: "Seal a key file to a device, and leave it there for the device",
		Long: "Reads a key file on standard input, in the form that an agent reads from a file\n" +
			"(docs/keys.md), seals it to the device, and leaves it in the archive in place of what was\n" +
			"there. The device takes it within minutes.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), seal.MaxDeviceKeys+1))
			if err != nil {
				return fmt.Errorf("read keys: %w", err)
			}
			if len(file) > seal.MaxDeviceKeys || !json.Valid(file) { // no part of it belongs in an error
				return usage("standard input must be a key file: JSON of at most %d bytes", seal.MaxDeviceKeys)
			}
			return withRegistry(cmd, func(r *registry.Registry) error {
				k, err := deviceOf(cmd, r, device)
				if err != nil {
					return err
				}
				sealed, err := seal.SealDeviceKeys(k.Device, k.Recipient, file)
				if err != nil {
					return err
				}
				if err := r.GiveKeys(k.Device, k.Recipient, sealed, time.Now()); err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "given to %s\n", k.Device)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&device, "device", "", "`DEVICE` that gets them, d_…")
	cmd.MarkFlagRequired("device")
	return withDir(cmd)
}

func keysTakeCommand() *cobra.Command {
	var device string
	cmd := &cobra.Command{
		Use:   "take --dir DIR --device DEVICE",
		Short: "Take a device's keys back; it forgets them when it asks next",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withRegistry(cmd, func(r *registry.Registry) error {
				k, err := deviceOf(cmd, r, device)
				if err != nil {
					return err
				}
				return r.GiveKeys(k.Device, k.Recipient, nil, time.Now())
			})
		},
	}
	cmd.Flags().StringVar(&device, "device", "", "`DEVICE` that loses them, d_…")
	cmd.MarkFlagRequired("device")
	return withDir(cmd)
}
