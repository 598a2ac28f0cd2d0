package seatrialsql

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSummarize(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1":                  "SELECT",
		"select a, b from orders o": "SELECT orders",
		"SELECT (SELECT max(x) FROM inner_table), 'FROM quoted' FROM shop.orders;": "SELECT shop.orders",
		"SELECT * FROM orders, items":                           "SELECT",
		`SELECT * FROM "orders"`:                                "SELECT",
		"SELECT * FROM (SELECT 1) x":                            "SELECT",
		"SELECT a = 'x FROM bob' FROM t":                        "SELECT t",
		"SELECT ')' FROM t":                                     "SELECT t",
		"SELECT (')'), 'x FROM bob' FROM t":                     "SELECT t",
		`SELECT 'it\'s', 'x FROM bob '`:                         "SELECT",
		"SELECT $$x FROM bob x$$":                               "SELECT",
		"SELECT $1 FROM t":                                      "SELECT t",
		"SELECT 1 # it's\n, 'x FROM bob '":                      "SELECT",
		"-- FROM a\n/* it's */ DELETE FROM orders WHERE id = ?": "DELETE orders",
		"INSERT INTO orders(a) VALUES (?)":                      "INSERT orders",
		"insert or replace into orders VALUES (?)":              "INSERT orders",
		"UPDATE orders SET a = 1":                               "UPDATE orders",
		"UPDATE `orders` SET a = 1":                             "UPDATE",
		"WITH x AS (SELECT 1) SELECT * FROM x":                  "WITH",
		"CREATE TABLE orders (id INTEGER)":                      "CREATE",
		"bob":                                                   "STATEMENT",
		"":                                                      "STATEMENT",
		"(":                                                     "STATEMENT",
		"SELECT * FROM " + strings.Repeat("x", 200):             "SELECT",
		"SELECT '" + strings.Repeat("x", 2*maxText) + "' FROM table": "SELECT",
	} {
		verb, summary := summarize(text)
		if summary != want || !strings.HasPrefix(want, verb) {
			t.Errorf("%.80q: %q, %q, want %q", text, verb, summary, want)
		}
	}
}

// FuzzSummarize: whatever a value holds, it does not get into the summary.
func FuzzSummarize(f *testing.F) {
	for _, value := range []string{"", "x FROM secret y", ") FROM secret", "-- FROM secret", "/* FROM secret", "'", "\" FROM secret \"", "\xff", "(((("} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ReplaceAll(value, "'", "''")
		for _, text := range []string{
			"SELECT '" + value + "', 'b' FROM orders",
			"SELECT f('" + value + "'), 1 FROM orders WHERE name = '" + value + "'",
			"INSERT INTO orders VALUES ('" + value + "')",
		} {
			verb, summary := summarize(text)
			if summary != verb && summary != verb+" orders" || !utf8.ValidString(summary) {
				t.Errorf("%q: %q", text, summary)
			}
		}
		_, _ = summarize(value)
	})
}
