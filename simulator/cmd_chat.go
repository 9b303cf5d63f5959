package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/simulator/account"
	"tidemark/simulator/chat"
	"tidemark/simulator/oracle"
	"tidemark/simulator/writer"
)

func makeCommand() *cobra.Command {
	var p placing
	var messages, conversations, perCommit, shards int
	var compress float64
	var checkpoint bool
	var until string
	cmd := &cobra.Command{
		Use:   "make",
		Short: "Lay out a new account and fill it with history",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if p.place.Exists() {
				return fmt.Errorf("make account: %s exists", p.place.Dir())
			}
			if conversations < 1 || messages < 0 || perCommit < 1 {
				return errors.New("make account: counts must be positive")
			}
			last, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return fmt.Errorf("parse --until: %w", err)
			}
			key, err := p.accountKey()
			if err != nil {
				return err
			}
			// A conversation is with the file helper, in a room, or with one person.
			rooms := (conversations - 1) / 4
			s, err := open(&p, key, account.Options{
				Writer:   writer.Options{Mode: writer.Never, CachePages: 200_000},
				Created:  last.AddDate(-1, 0, 0),
				Populate: p.population(conversations-1-rooms, rooms),
			})
			if err != nil {
				return err
			}
			start := time.Now()
			err = s.client.Fill(chat.FillOptions{
				Messages: messages, Seed: p.seed, Compress: compress, Until: last, Gap: 15 * time.Second,
				PerCommit: perCommit, Checkpoint: checkpoint, Shards: shards,
				Kinds: p.kinds == kindsAll, Images: chat.ImageKeys(p.place.Name, p.seed),
				Progress: func(done int) {
					rate := float64(done) / time.Since(start).Seconds()
					fmt.Fprintf(os.Stderr, "simulator: %d of %d messages, %.0f/s\n", done, messages, rate)
				},
			})
			if err == nil && checkpoint {
				err = s.acct.CheckpointAll()
			}
			return errors.Join(err, s.close())
		},
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&messages, "messages", 2_000_000, "how many")
	f.IntVar(&conversations, "conversations", 200, "in how many conversations, the file helper's included")
	f.IntVar(&shards, "shards", 1, "message databases, of which a higher number has older messages")
	f.IntVar(&perCommit, "per-commit", 100_000, "messages in one transaction")
	f.Float64Var(&compress, "compress", 0.3, "part of the rows that are compressed")
	f.StringVar(&until, "until", "2026-11-01T00:00:00Z", "time of the last message")
	f.BoolVar(&checkpoint, "checkpoint-at-end", true, "copy everything into the main files; false leaves everything in the WALs")
	return cmd
}

func chatCommand() *cobra.Command {
	var p placing
	var o chat.ChatOptions
	var mode, changes string
	var after time.Duration
	var people, rooms int
	cmd := &cobra.Command{
		Use:   "chat",
		Short: "Chat in an account, which is created if it does not exist",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := writer.ParseMode(mode)
			if err != nil {
				return err
			}
			if people < 1 || rooms < 0 || o.Rate < 0 || o.Count < 0 {
				return errors.New("chat: counts must be positive")
			}
			for _, kind := range o.Drift {
				if !slices.Contains(chat.Drifts, kind) {
					return fmt.Errorf("parse --drift: %q is none of %s", kind, strings.Join(chat.Drifts, ", "))
				}
			}
			if o.Changes, err = chat.ParseChanges(changes); err != nil {
				return err
			}
			key, err := p.accountKey()
			if err != nil {
				return err
			}
			o.Seed, o.Kinds, o.Images = p.seed, p.kinds == kindsAll, chat.ImageKeys(p.place.Name, p.seed)
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			resumed := p.place.Exists()
			s, err := open(&p, key, account.Options{
				Writer: writer.Options{Mode: m, After: after, OnCheckpoint: func(e writer.Event) {
					log.Debug("checkpoint", "frames", e.Frames, "copied", e.Copied, "restarted", e.Restarted)
				}},
				Populate: p.population(people, rooms),
			})
			if err != nil {
				return err
			}
			log.Info("chatting", "account", p.place.Dir(), "resumed", resumed, "rate", o.Rate, "checkpoint", mode)
			stats, err := s.client.Chat(cmd.Context(), o)
			if err = errors.Join(err, s.close()); err != nil {
				return err
			}
			log.Info("stopped", "messages", stats.Messages, "recalls", stats.Recalls, "server_ids", stats.ServerIDs, "recompressed", stats.Recompressed, "changes", stats.Changes)
			return nil
		},
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.Float64Var(&o.Rate, "rate", 10, "messages per second; 0 is as fast as it goes")
	f.DurationVar(&o.For, "for", 0, "stop after this time")
	f.IntVar(&o.Count, "count", 0, "stop after so many messages")
	f.Float64Var(&o.Recall, "recall", 0.02, "part of the messages that are recalled")
	f.DurationVar(&o.RecallAfter, "recall-after", 0, "recall so long after the message (default: 1 to 20 s)")
	f.Float64Var(&o.Compress, "compress", 0.3, "part of the rows that are compressed, half of them later")
	f.StringVar(&changes, "changes", "", "what else happens, such as delete,clear=0.01: all, clear, contact, delete, import, recreate, room, shard, status, vanish; each at least once")
	f.BoolVar(&o.Fates, "fates", false, "with --kinds all: of each kind the first message stays, the second is recalled and the third deleted, and so on")
	f.StringSliceVar(&o.Drift, "drift", nil, "what is new in this client: "+strings.Join(chat.Drifts, ", "))
	f.IntVar(&people, "people", 12, "of a new account")
	f.IntVar(&rooms, "rooms", 4, "of a new account")
	f.StringVar(&mode, "checkpoint", string(writer.Client), "client, never or truncate")
	f.DurationVar(&after, "checkpoint-after", 0, "how long after a commit (default 10 s), or how often truncate does (default 0.3 s)")
	f.Bool("resume", false, "continue the account; implied when it exists")
	return cmd
}

func migrateCommand() *cobra.Command {
	var p placing
	var people, rooms int
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Import what the oracle tells of an older client's account into a 4.x account of the same owner",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.place.Generation != account.V4 || p.oracle == "" {
				return errors.New("migrate: needs --oracle, and goes to v4 only")
			}
			told, err := os.ReadFile(p.oracle)
			if err != nil {
				return fmt.Errorf("read oracle: %w", err)
			}
			key, err := p.accountKey()
			if err != nil {
				return err
			}
			s, err := open(&p, key, account.Options{Populate: p.population(people, rooms)})
			if err != nil {
				return err
			}
			n, err := s.client.Migrate(bytes.NewReader(told))
			if err = errors.Join(err, s.close()); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "simulator: %d messages imported\n", n)
			return nil
		},
	}
	p.flags(cmd)
	cmd.Flags().IntVar(&people, "people", 12, "of a new account")
	cmd.Flags().IntVar(&rooms, "rooms", 4, "of a new account")
	return cmd
}

// session is an open account with its oracle and client.
type session struct {
	acct   *account.Account
	log    *oracle.Log
	client *chat.Client
}

// open opens the account, hands out its key, and readies a client on it. The account's
// key comes first, so that whoever finds the account finds its key; those of its files
// come when they have been made.
func open(p *placing, key writer.Key, o account.Options) (*session, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	o.Keys = writer.NewKeyring(key)
	o.Keyed = func() error { return p.writeKeys(o.Keys) }
	if p.keyForm == keyFormAccount {
		if err := p.writeKeys(o.Keys); err != nil {
			return nil, err
		}
	}
	log, undecided, err := oracle.Open(p.oracle)
	if err != nil {
		return nil, err
	}
	acct, err := account.Open(p.place, o)
	if err != nil {
		return nil, err
	}
	if err := p.writeKeys(o.Keys); err != nil {
		return nil, err
	}
	c, err := chat.New(acct, log, undecided)
	if err != nil {
		return nil, err
	}
	return &session{acct, log, c}, nil
}

// close ends the checkpoints and the oracle. The databases stay open until the process ends.
func (s *session) close() error { return errors.Join(s.acct.Release(), s.log.Close()) }
