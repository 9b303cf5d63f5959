package chat

import (
	"fmt"
	"slices"
	"time"

	"tidemark/simulator/account"
	"tidemark/simulator/writer"
)

// form is how a generation keeps messages: in which file and table, and as what row.
type form interface {
	// homes is every file that may hold messages of a conversation; the last is where
	// the next one goes.
	homes(c *Client, conv *conversation) []string
	// table is the conversation's table in any of them.
	table(file string, conv *conversation) string
	// exists reports whether anything has been said there.
	exists(s *shard, table string) (bool, error)
	// last is the greatest order of a conversation there; the table exists.
	last(s *shard, table string, conv *conversation) (int64, error)
	// insert writes m and whatever must exist for it, and sets its local id.
	insert(c *Client, tx writer.Tx, m *message) error
	// confirm writes the server's answer to an own message.
	confirm(tx writer.Tx, m *message) error
	// takeBack makes m's row the notice of its recall.
	takeBack(tx writer.Tx, m *message, localType int64, notice string) error
	// row is what a row says of itself; ok is false when it is not there.
	row(s *shard, table string, localID int64) (r row, ok bool, err error)
	// unanswered is the own messages of a conversation that have no server id.
	unanswered(c *Client, s *shard, table string, conv *conversation) ([]*message, error)
	// sessions brings the list of conversations up to date.
	sessions(c *Client, latest map[*conversation]*message) error

	// rewrite writes m's type and content anew, and what its item has beside them.
	rewrite(tx writer.Tx, m *message) error
	// remove takes m's row away.
	remove(tx writer.Tx, m *message) error
	// status rewrites counters of m's row that mean nothing.
	status(tx writer.Tx, m *message) error
	// clear takes all rows of a conversation away, with their table if asked to and if
	// it is theirs alone; dropped says so.
	clear(tx writer.Tx, s *shard, table string, conv *conversation, drop bool) (dropped bool, err error)
	// forget takes a cleared conversation off the list.
	forget(c *Client, conv *conversation, now int64) error
	// begin says in a new shard when it begins, and makes what belongs to it.
	begin(c *Client, s *shard, at time.Time) error
	// begun is when a shard begins, in any unit.
	begun(s *shard) (int64, error)
	// dispensable is a table whose loss the client does not notice.
	dispensable() (file, table string)
}

func formOf(g account.Generation) form {
	switch g {
	case account.W3:
		return w3{}
	case account.M3:
		return m3{}
	}
	return v4{}
}

// row is a row's state as far as it tells what has become of it.
type row struct {
	localType  int64 // sub type << 32 | base type
	order      int64
	serverID   int64
	compressed bool
}

// shard is one message database.
type shard struct {
	file  string
	db    *writer.DB
	names map[string]int64 // rowids of its table of names
	made  map[string]bool  // tables of conversations that exist
	read  bool             // made has all that were there when the file was opened
}

// shard opens a message database.
func (c *Client) shard(file string) (*shard, error) {
	if s := c.shards[file]; s != nil {
		return s, nil
	}
	db, err := c.acct.DB(file)
	if err != nil {
		return nil, fmt.Errorf("open shard: %w", err)
	}
	s := &shard{file: file, db: db, names: map[string]int64{}, made: map[string]bool{}}
	c.shards[file] = s
	return s, nil
}

// sortShards puts the shards in the order of their beginnings.
func (c *Client) sortShards() error {
	c.growing = c.acct.Shards()
	if len(c.growing) < 2 {
		return nil
	}
	begun := map[string]int64{}
	for _, file := range c.growing {
		s, err := c.shard(file)
		if err != nil {
			return err
		}
		if begun[file], err = c.form.begun(s); err != nil {
			return err
		}
	}
	slices.SortStableFunc(c.growing, func(a, b string) int { return int(begun[a] - begun[b]) })
	return nil
}

// place gives m its file and table.
func (c *Client) place(m *message) error {
	homes := c.form.homes(c, m.conv)
	var err error
	if m.shard, err = c.shard(homes[len(homes)-1]); err != nil {
		return err
	}
	m.table = c.form.table(m.shard.file, m.conv)
	return nil
}

// nameID is the row of a username in the shard's table of names, which it creates
// when needed.
func (s *shard) nameID(tx writer.Tx, table, column, username string) (int64, error) {
	if id, ok := s.names[username]; ok {
		return id, nil
	}
	if _, err := tx.Exec(`INSERT OR IGNORE INTO `+table+`(`+column+`) VALUES(?)`, username); err != nil {
		return 0, err
	}
	var id int64
	if err := tx.QueryRow(`SELECT rowid FROM `+table+` WHERE `+column+` = ?`, username).Scan(&id); err != nil {
		return 0, err
	}
	s.names[username] = id
	return id, nil
}

// hasTable reports whether the shard has a table.
func (s *shard) hasTable(table string) (bool, error) {
	if s.read || s.made[table] {
		return s.made[table], nil
	}
	// All at once: SQLite reads the whole schema for each question.
	rows, err := s.db.Query(`SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'Msg@_%' ESCAPE '@' OR name LIKE 'Chat@_%' ESCAPE '@')`)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return false, err
		}
		s.made[name] = true
	}
	s.read = rows.Err() == nil
	return s.made[table], rows.Err()
}

// delete runs one statement on a database of the account.
func (c *Client) delete(file, statement string, args ...any) error {
	db, err := c.acct.DB(file)
	if err != nil {
		return err
	}
	return db.Update(func(tx writer.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	})
}
