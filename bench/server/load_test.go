package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	bulkPath    = "/ofrep/v1/evaluate/flags"
	singlePath  = bulkPath + "/flag-0007"
	connections = 32
)

func raw(list ...string) (values []json.RawMessage) {
	for _, text := range list {
		values = append(values, json.RawMessage(text))
	}
	return values
}

// request is the body for the user with that number.
func request(user int) string {
	group := "customers"
	if user%100 == 0 {
		group = "beta-testers"
	}
	return `{"context":{"targetingKey":"8d7f0c1e-5a53-4e0f-9f0e-` + fmt.Sprintf("%012d", user) + `","group":"` + group + `","plan":"gold","country":"de"}}`
}

// caller asks on one connection that is kept alive, with as little work as it takes: it shares the
// processors with what it measures.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
	head string
	out  []byte
}

func dial(address, path string) (*caller, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 32<<10),
		head: "POST " + path + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "}, nil
}

// send asks and gives the length of the answer's body, which is to be read from c.in.
func (c *caller) send(body string) (length int, err error) {
	c.out = append(append(append(append(c.out[:0], c.head...), strconv.Itoa(len(body))...), "\r\n\r\n"...), body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, err
	}
	length = -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		switch {
		case err != nil:
			return 0, err
		case first && string(line) != "HTTP/1.1 200 OK\r\n":
			return 0, fmt.Errorf("answered with %q", line)
		case len(line) > 2:
			if value, found := strings.CutPrefix(string(line), "Content-Length: "); found {
				if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
					return 0, err
				}
			}
		case length < 0:
			return 0, fmt.Errorf("an answer without Content-Length")
		default:
			return length, nil
		}
	}
}

// ask gives the answer.
func (c *caller) ask(body string) ([]byte, error) {
	length, err := c.send(body)
	if err != nil {
		return nil, err
	}
	answer := make([]byte, length)
	_, err = io.ReadFull(c.in, answer)
	return answer, err
}

// result is what one round of load gave.
type result struct {
	rate     float64 // answers a second
	p50, p99 float64 // ms
	cpu      float64 // µs of the server's processor time for each answer
}

// bodies are the requests, made before.
var bodies = sync.OnceValue(func() []string {
	list := make([]string, 1<<14)
	for i := range list {
		list[i] = request(i)
	}
	return list
})

// run asks a server on all connections for a while.
func (p *process) run(tb testing.TB, path string, d time.Duration) (r result) {
	tb.Helper()
	took := make([][]time.Duration, connections)
	var all sync.WaitGroup
	used, began := p.cpu(tb), time.Now()
	for i := range took {
		all.Go(func() {
			var err error
			if took[i], err = askUntil(p.address, path, i, began.Add(d)); err != nil {
				tb.Error(err)
			}
		})
	}
	all.Wait()
	elapsed := time.Since(began)
	used = p.cpu(tb) - used
	sorted := slices.Sorted(slices.Values(slices.Concat(took...)))
	if len(sorted) == 0 {
		tb.Fatal("no answers")
	}
	n := len(sorted)
	return result{
		rate: float64(n) / elapsed.Seconds(), cpu: float64(used.Microseconds()) / float64(n),
		p50: sorted[n/2].Seconds() * 1e3, p99: sorted[n*99/100].Seconds() * 1e3,
	}
}

func askUntil(address, path string, i int, end time.Time) (took []time.Duration, err error) {
	c, err := dial(address, path)
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	requests := bodies()
	for last := time.Now(); len(took) == 0 || last.Before(end); i += connections {
		length, err := c.send(requests[i%len(requests)])
		if err == nil {
			_, err = c.in.Discard(length)
		}
		if err != nil {
			return took, err
		}
		now := time.Now()
		took = append(took, now.Sub(last))
		last = now
	}
	return took, nil
}
