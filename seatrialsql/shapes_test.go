package seatrialsql

import "database/sql/driver"

// shapes are connections by what mere presence matters: execution, queries, reset and validity.
// The names tell the interfaces.
var shapes = map[string]func(*fakeConn) driver.Conn{}

func init() {
	type c = *fakeConn
	add := func(name string, f func(c) driver.Conn) { shapes[name] = f }
	add("bare", func(c c) driver.Conn { return c })
	add("reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			resetting
		}{c, resetting{c}}
	})
	add("valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			validating
		}{c, validating{c}}
	})
	add("reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			resetting
			validating
		}{c, resetting{c}, validating{c}}
	})

	add("Exec", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
		}{c, execOld{c}}
	})
	add("Exec reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			resetting
		}{c, execOld{c}, resetting{c}}
	})
	add("Exec valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			validating
		}{c, execOld{c}, validating{c}}
	})
	add("Exec reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			resetting
			validating
		}{c, execOld{c}, resetting{c}, validating{c}}
	})
	add("ExecContext", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
		}{c, execCtx{c}}
	})
	add("ExecContext reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			resetting
		}{c, execCtx{c}, resetting{c}}
	})
	add("ExecContext valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			validating
		}{c, execCtx{c}, validating{c}}
	})
	add("ExecContext reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			resetting
			validating
		}{c, execCtx{c}, resetting{c}, validating{c}}
	})

	add("Query", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryOld
		}{c, queryOld{c}}
	})
	add("Query reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryOld
			resetting
		}{c, queryOld{c}, resetting{c}}
	})
	add("Query valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryOld
			validating
		}{c, queryOld{c}, validating{c}}
	})
	add("Query reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryOld
			resetting
			validating
		}{c, queryOld{c}, resetting{c}, validating{c}}
	})
	add("QueryContext", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryCtx
		}{c, queryCtx{c}}
	})
	add("QueryContext reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryCtx
			resetting
		}{c, queryCtx{c}, resetting{c}}
	})
	add("QueryContext valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryCtx
			validating
		}{c, queryCtx{c}, validating{c}}
	})
	add("QueryContext reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			queryCtx
			resetting
			validating
		}{c, queryCtx{c}, resetting{c}, validating{c}}
	})

	add("Exec Query", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			queryOld
		}{c, execOld{c}, queryOld{c}}
	})
	add("Exec Query reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			queryOld
			resetting
		}{c, execOld{c}, queryOld{c}, resetting{c}}
	})
	add("Exec Query valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			queryOld
			validating
		}{c, execOld{c}, queryOld{c}, validating{c}}
	})
	add("Exec Query reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			queryOld
			resetting
			validating
		}{c, execOld{c}, queryOld{c}, resetting{c}, validating{c}}
	})
	add("Exec QueryContext", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			queryCtx
		}{c, execOld{c}, queryCtx{c}}
	})
	add("ExecContext Query", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			queryOld
		}{c, execCtx{c}, queryOld{c}}
	})
	add("ExecContext QueryContext", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			queryCtx
		}{c, execCtx{c}, queryCtx{c}}
	})
	add("ExecContext QueryContext reset", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			queryCtx
			resetting
		}{c, execCtx{c}, queryCtx{c}, resetting{c}}
	})
	add("ExecContext QueryContext valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			queryCtx
			validating
		}{c, execCtx{c}, queryCtx{c}, validating{c}}
	})
	add("ExecContext QueryContext reset valid", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			queryCtx
			resetting
			validating
		}{c, execCtx{c}, queryCtx{c}, resetting{c}, validating{c}}
	})

	add("ping", func(c c) driver.Conn {
		return struct {
			*fakeConn
			pings
		}{c, pings{c}}
	})
	add("PrepareContext", func(c c) driver.Conn {
		return struct {
			*fakeConn
			prepares
		}{c, prepares{c}}
	})
	add("BeginTx", func(c c) driver.Conn {
		return struct {
			*fakeConn
			beginsTx
		}{c, beginsTx{c}}
	})
	add("check", func(c c) driver.Conn {
		return struct {
			*fakeConn
			converting
		}{c, converting{c}}
	})
	add("ExecContext QueryContext check", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execCtx
			queryCtx
			converting
		}{c, execCtx{c}, queryCtx{c}, converting{c}}
	})
	add("Exec Query ping BeginTx check", func(c c) driver.Conn {
		return struct {
			*fakeConn
			execOld
			queryOld
			pings
			beginsTx
			converting
		}{c, execOld{c}, queryOld{c}, pings{c}, beginsTx{c}, converting{c}}
	})
	add("full", func(c c) driver.Conn { return full{c} })
	add("full check", func(c c) driver.Conn {
		return struct {
			full
			converting
		}{full{c}, converting{c}}
	})
}

// stmtShapes are statements likewise, all there can be.
var stmtShapes = map[string]func(*fakeStmt) driver.Stmt{}

func init() {
	type s = *fakeStmt
	add := func(name string, f func(s) driver.Stmt) { stmtShapes[name] = f }
	add("bare", func(s s) driver.Stmt { return s })
	add("exec", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
		}{s, stmtExec{s}}
	})
	add("query", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtQuery
		}{s, stmtQuery{s}}
	})
	add("check", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtChecks
		}{s, stmtChecks{s}}
	})
	add("column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtColumn
		}{s, stmtColumn{s}}
	})
	add("exec query", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtQuery
		}{s, stmtExec{s}, stmtQuery{s}}
	})
	add("exec check", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtChecks
		}{s, stmtExec{s}, stmtChecks{s}}
	})
	add("exec column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtColumn
		}{s, stmtExec{s}, stmtColumn{s}}
	})
	add("query check", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtQuery
			stmtChecks
		}{s, stmtQuery{s}, stmtChecks{s}}
	})
	add("query column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtQuery
			stmtColumn
		}{s, stmtQuery{s}, stmtColumn{s}}
	})
	add("check column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtChecks
			stmtColumn
		}{s, stmtChecks{s}, stmtColumn{s}}
	})
	add("exec query check", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtQuery
			stmtChecks
		}{s, stmtExec{s}, stmtQuery{s}, stmtChecks{s}}
	})
	add("exec query column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtQuery
			stmtColumn
		}{s, stmtExec{s}, stmtQuery{s}, stmtColumn{s}}
	})
	add("exec check column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtChecks
			stmtColumn
		}{s, stmtExec{s}, stmtChecks{s}, stmtColumn{s}}
	})
	add("query check column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtQuery
			stmtChecks
			stmtColumn
		}{s, stmtQuery{s}, stmtChecks{s}, stmtColumn{s}}
	})
	add("exec query check column", func(s s) driver.Stmt {
		return struct {
			*fakeStmt
			stmtExec
			stmtQuery
			stmtChecks
			stmtColumn
		}{s, stmtExec{s}, stmtQuery{s}, stmtChecks{s}, stmtColumn{s}}
	})
}

// rowShapes are rows likewise: none of the interfaces, each alone, all.
var rowShapes = map[string]func(*fakeRows) driver.Rows{
	"bare": func(r *fakeRows) driver.Rows { return r },
	"next set": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			nextSet
		}{r, nextSet{r}}
	},
	"scan type": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			scanType
		}{r, scanType{}}
	},
	"name": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			typeName
		}{r, typeName{}}
	},
	"length": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			typeLength
		}{r, typeLength{}}
	},
	"nullable": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			nullable
		}{r, nullable{}}
	},
	"precision": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			precision
		}{r, precision{}}
	},
	"all": func(r *fakeRows) driver.Rows {
		return struct {
			*fakeRows
			nextSet
			scanType
			typeName
			typeLength
			nullable
			precision
		}{r, nextSet{r}, scanType{}, typeName{}, typeLength{}, nullable{}, precision{}}
	},
}
