package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/seatrial/seatrial/internal/server/control"
)

// verify reads every change and checks the chain from the first parent to the head, and the
// structure of the database file. SQLite's own check cannot see a changed value, the chain
// cannot see a broken index.
func (s *Store) verify(ctx context.Context) error {
	histories, err := s.histories(ctx)
	if err != nil {
		return err
	}
	hash, revision := "", int64(0)
	if len(histories) > 0 {
		hash = control.Genesis(histories[0].name)
	}
	err = scan(ctx, s.conn, func(rows *sql.Rows) error {
		var body sql.RawBytes
		var stored int64
		var idem sql.NullString
		if err := rows.Scan(&stored, &idem, &body); err != nil {
			return err
		}
		for len(histories) > 1 && histories[1].from <= revision+1 {
			histories = histories[1:]
		}
		history, c, err := control.DecodeChange(body)
		switch {
		case err != nil:
			return damaged("revision %d: %v", stored, err)
		case len(histories) == 0 || history != histories[0].name || c.Epoch != histories[0].epoch:
			return damaged("revision %d is of an unknown history", stored)
		case stored != revision+1 || c.Revision != stored || c.Parent != hash || c.IdempotencyKey != idem.String:
			return damaged("revision %d does not follow revision %d", stored, revision)
		}
		hash, revision = c.Hash, c.Revision
		return nil
	}, `SELECT revision, idem, body FROM changes ORDER BY revision`)
	if err != nil {
		return err
	}
	if len(histories) == 0 || revision != s.head.Revision || hash != s.head.Hash || s.head.History != histories[len(histories)-1].name {
		return damaged("the head says revision %d, the changes end at %d, or with another hash or history", s.head.Revision, revision)
	}
	return s.verifyFile(ctx)
}

func (s *Store) verifyFile(ctx context.Context) error {
	var rows int64
	if err := s.conn.QueryRowContext(ctx, `SELECT count(*) FROM intervals`).Scan(&rows); err != nil {
		return err
	}
	if rows != s.journal {
		return damaged("the head says %d journalled intervals, there are %d", s.journal, rows)
	}
	var result string
	if err := s.conn.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return damaged("the database file: %s", result)
	}
	return nil
}

type historyRow struct {
	name  string
	epoch int64
	from  int64
}

func (s *Store) histories(ctx context.Context) ([]historyRow, error) {
	var list []historyRow
	err := scan(ctx, s.conn, func(rows *sql.Rows) error {
		var h historyRow
		if err := rows.Scan(&h.name, &h.epoch, &h.from); err != nil {
			return err
		}
		list = append(list, h)
		return nil
	}, `SELECT history, epoch, from_revision FROM histories ORDER BY epoch`)
	return list, err
}

// hashAt gives the hash of a revision; of revision 0 the first parent.
func (s *Store) hashAt(ctx context.Context, revision int64) (string, error) {
	if revision == s.head.Revision {
		return s.head.Hash, nil
	}
	if revision == 0 {
		histories, err := s.histories(ctx)
		if err != nil || len(histories) == 0 {
			return "", errors.Join(damaged("no history"), err)
		}
		return control.Genesis(histories[0].name), nil
	}
	var body []byte
	if err := s.conn.QueryRowContext(ctx, `SELECT body FROM changes WHERE revision = ?`, revision).Scan(&body); err != nil {
		return "", err
	}
	return control.HashOf(body), nil
}
