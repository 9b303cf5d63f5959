package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"tidemark/simulator/account"
	"tidemark/simulator/writer"
)

// opening is the flags that open one file with SQLCipher, shared by exec and scan.
type opening struct {
	db         string
	key        string
	generation account.Generation
	o          writer.ConnectOptions
}

func (op *opening) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&op.db, "db", "", "the database (required)")
	f.StringVar(&op.key, "key", "", "64 hexadecimal digits (required)")
	f.BoolVar(&op.o.Raw, "raw", false, "the key is the derived key: skip the KDF")
	f.IntVar(&op.o.PageSize, "page-size", 0, "bytes (default: the cipher version's)")
	f.IntVar(&op.o.Compat, "compat", 4, "SQLCipher's major version: 3 or 4")
	f.BoolVar(&op.o.Plain, "plain", false, "the file is not encrypted")
	f.Var(&op.generation, "generation", "the parameters of this generation's message databases: v4, w3 or m3")
	cmd.MarkFlagRequired("db")
	cmd.MarkFlagRequired("key")
}

func (op *opening) open() (*sql.DB, error) {
	switch op.generation {
	case account.W3:
		op.o.Compat, op.o.PageSize = 3, 4096
	case account.M3:
		op.o.Compat, op.o.PageSize, op.o.Raw = 3, 1024, true
	}
	key, err := writer.ParseKey(op.key)
	if err != nil {
		return nil, err
	}
	return writer.Connect(op.db, key, op.o)
}

func execCommand() *cobra.Command {
	var op opening
	var statements []string
	var journal string
	var keep, hold bool
	cmd := &cobra.Command{
		Use:   "exec",
		Short: "Run SQL on one database with stock SQLCipher; rows are printed as JSON arrays",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := op.open()
			if err != nil {
				return err
			}
			var setup []string
			if keep || hold {
				setup = append(setup, "PRAGMA wal_autocheckpoint=0")
			}
			if journal != "" {
				setup = append(setup, "PRAGMA journal_mode="+journal)
			}
			for _, s := range setup {
				if err := execute(db, s, io.Discard); err != nil {
					return err
				}
			}
			for i, s := range statements {
				if err := execute(db, s, cmd.OutOrStdout()); err != nil {
					return fmt.Errorf("statement %d: %w", i+1, err)
				}
			}
			if hold {
				<-cmd.Context().Done()
			}
			if keep || hold {
				return nil // the process ends with the connection open
			}
			return db.Close()
		},
	}
	op.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&statements, "sql", nil, "a statement; may be given several times")
	f.StringVar(&journal, "journal", "", "set this journal mode first, such as wal")
	f.BoolVar(&keep, "no-close-checkpoint", false, "leave -wal and -shm as they are; no automatic checkpoints either")
	f.BoolVar(&hold, "hold", false, "then keep the connection open until SIGTERM; implies --no-close-checkpoint")
	return cmd
}

// execute runs one statement and prints its rows. Blobs are printed as {"base64":…},
// so that a text and a blob of the same bytes look different.
func execute(db *sql.DB, statement string, out io.Writer) error {
	rows, err := db.Query(statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = map[string][]byte{"base64": b}
			}
		}
		if err := enc.Encode(values); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func scanCommand() *cobra.Command {
	var op opening
	cmd := &cobra.Command{
		Use:   "scan",
		Short: "Read every column of every message table with SQLCipher through database/sql, and print how long it took",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			start := time.Now()
			db, err := op.open()
			if err != nil {
				return err
			}
			opened := time.Now()
			result := struct {
				Rows    int64   `json:"rows"`
				Bytes   int64   `json:"bytes"`
				Elapsed float64 `json:"elapsed_s"` // without opening
				Open    float64 `json:"open_s"`
			}{Open: opened.Sub(start).Seconds()}
			if result.Rows, result.Bytes, err = account.Scan(db); err != nil {
				return err
			}
			result.Elapsed = time.Since(opened).Seconds()
			// Not closed: a scan of a live file must not checkpoint it.
			return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
		},
	}
	op.flags(cmd)
	return cmd
}
