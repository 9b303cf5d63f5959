package main

import (
	"bufio"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// sqlCommand is exec for a program that decides as it goes, such as a test that puts
// its own looks between the statements of several writers.
func sqlCommand() *cobra.Command {
	var op opening
	var connections int
	cmd := &cobra.Command{
		Use:   "sql",
		Short: "Run SQL from standard input on one database, over several connections of stock SQLCipher",
		Long: `Each line is the number of a connection, from 0, a space, and a statement. What it
gives is printed as exec does, and then a line: "ok", or "error " and why. Nothing is
waited for: a lock that another connection holds is an error. The connections are in WAL
mode, make no checkpoint by themselves, and are left open at the end.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var dbs []*sql.DB
			for range connections {
				db, err := op.open()
				if err != nil {
					return err
				}
				for _, s := range []string{"PRAGMA busy_timeout=0", "PRAGMA journal_mode=wal", "PRAGMA wal_autocheckpoint=0"} {
					if _, err := db.Exec(s); err != nil {
						return err
					}
				}
				dbs = append(dbs, db)
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			in := bufio.NewScanner(cmd.InOrStdin())
			in.Buffer(nil, 16<<20)
			for in.Scan() {
				number, statement, _ := strings.Cut(in.Text(), " ")
				n, err := strconv.Atoi(number)
				if err != nil || n < 0 || n >= len(dbs) {
					return fmt.Errorf("no connection %q", number)
				}
				if err := execute(dbs[n], statement, out); err != nil {
					fmt.Fprintf(out, "error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
				} else {
					fmt.Fprintln(out, "ok")
				}
				if err := out.Flush(); err != nil {
					return err
				}
			}
			return in.Err()
		},
	}
	op.flags(cmd)
	cmd.Flags().IntVar(&connections, "connections", 1, "how many connections to open")
	return cmd
}
