package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

// This file has the commands of member lists: segments with up to ten million targeting keys.

// listed is how many members a segment's list has.
func listed(s flag.Segment) int {
	if s.List == nil {
		return 0
	}
	return s.List.Count
}

func listCell(s flag.Segment) cell {
	if s.List == nil {
		return cell{}
	}
	return cell{plain: strconv.Itoa(s.List.Count), shown: members(s.List.Count) + "; to ask for one: seatrial segment has " + s.Key + " USER"}
}

// grouped writes a number with a comma between thousands.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// members gives "1 member", "10,000 members".
func members(n int) string {
	if n == 1 {
		return "1 member"
	}
	return grouped(n) + " members"
}

func newSegmentImport(a *app) *cobra.Command {
	var w writing
	var add, remove bool
	cmd := &cobra.Command{
		Use: "import NAME FILE", Short: "Make the lines of a file the member list of a segment", Args: cobra.ExactArgs(2),
		ValidArgsFunction: a.completeThenFile(segmentNames),
		Long: "Make the lines of a file the member list of a segment: one targeting key a line, at most 10 million, in any order. The file may\n" +
			"be gzip; - is standard input. Only hashes of the keys, under a secret key of the list, are kept and given to services. The\n" +
			"members that the segment names itself (--member) and its condition stay as they are.",
		Example: `  seatrial segment import vips vips.txt
  seatrial segment import vips new.txt.gz --add --reason "March"
  cut -d, -f1 churned.csv | seatrial segment import vips - --remove`,
	}
	cmd.Flags().BoolVar(&add, "add", false, "add the lines to the list instead")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the lines off the list instead")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		how := api.ReplaceList
		switch {
		case add && remove:
			return usage(errors.New("--add and --remove are both given: choose one"))
		case add:
			how = api.AddToList
		case remove:
			how = api.TakeOffList
		}
		return a.importList(cmd, c, args[0], args[1], how, w)
	})
	return cmd
}

func (a *app) importList(cmd *cobra.Command, c *api.Client, segment, path string, how api.ListEdit, w writing) error {
	in, size, err := a.openUpload(path)
	if err != nil {
		return err
	}
	defer in.Close()
	sending := &progress{in: in, total: size, app: a, started: time.Now()}
	buffered := bufio.NewReader(sending)
	kind := api.TypeText
	if head, _ := buffered.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		kind = api.TypeGzip
	}
	change, err := c.UploadList(cmd.Context(), segment, how, buffered, kind, w.to(""))
	sending.done()
	if err != nil {
		return orSuggest(err, "segment", segment, known(cmd.Context(), c, segmentNames))
	}
	return a.wrote(w, change, "segment %s: %s added, %s removed, %s in the list", segment, grouped(change.Added), grouped(change.Removed), members(change.Members))
}

// openUpload opens a file to send; the size is 0 if nobody knows it.
func (a *app) openUpload(path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(a.in), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: name a file with one targeting key a line", path)
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// How often an upload tells how far it is: a terminal's line is written anew.
const (
	progressTerminal = time.Second
	progressLines    = 10 * time.Second
)

// progress is a file that is being sent, and tells how far, if it takes long.
type progress struct {
	in      io.Reader
	app     *app
	total   int64 // bytes; 0: unknown
	sent    int64
	started time.Time
	told    time.Time // zero: not yet
	toldOf  int64     // bytes
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.sent += int64(n)
	every, last := progressLines, p.told
	if p.app.narration.terminal {
		every = progressTerminal
	}
	if last.IsZero() {
		last = p.started
	}
	now := time.Now()
	due := n > 0 && now.Sub(last) >= every
	ended := errors.Is(err, io.EOF) && p.toldOf > 0 && p.toldOf < p.sent
	if due || ended {
		p.told, p.toldOf = now, p.sent
		p.tell()
	}
	return n, err
}

func (p *progress) tell() {
	const mb = 1e6
	text := fmt.Sprintf("%.1f MB sent", float64(p.sent)/mb)
	if p.total > 0 {
		text = fmt.Sprintf("%.1f of %.1f MB sent (%d %%)", float64(p.sent)/mb, float64(p.total)/mb, 100*p.sent/p.total)
	}
	switch {
	case p.app.quiet:
	case p.app.narration.terminal:
		fmt.Fprintf(p.app.err, "\r\x1b[K%s", text)
	default:
		fmt.Fprintln(p.app.err, text)
	}
}

// done ends the line on a terminal.
func (p *progress) done() {
	if !p.told.IsZero() && p.app.narration.terminal && !p.app.quiet {
		fmt.Fprintln(p.app.err)
	}
}

// membership is what segment has prints as JSON.
type membership struct {
	Segment string `json:"segment"`
	Unit    string `json:"unit"`
	Member  bool   `json:"member"`
	// By says what makes it one: members, list; empty: none of the two.
	By string `json:"by,omitempty"`
	// Conditional says that the segment has a condition or a rule, which attributes may meet.
	Conditional bool `json:"conditional,omitempty"`
}

func newSegmentHas(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "has NAME USER", Short: "Say whether a user is a member of a segment by name", Args: cobra.ExactArgs(2),
		ValidArgsFunction: a.complete(segmentNames), Example: "  seatrial segment has vips u42",
		Long: "Say whether a user, by targeting key, is a member of a segment by name: among its members or in its list. Whether the segment's\n" +
			"condition is met depends on the user's attributes: `seatrial eval` tells.",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		s, _, err := c.Segment(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "segment", args[0], known(cmd.Context(), c, segmentNames))
		}
		m := membership{Segment: s.Key, Unit: args[1], Conditional: s.When != nil || s.Rule != nil}
		if slices.Contains(s.Members, args[1]) {
			m.Member, m.By = true, "members"
		} else if s.List != nil {
			if m.Member, err = c.ListHas(cmd.Context(), s.Key, args[1]); err != nil {
				return err
			}
			if m.Member {
				m.By = "list"
			}
		}
		return a.printDetails(membershipDetails(m))
	})
	return cmd
}

func membershipDetails(m membership) details {
	member := marked(markQuiet, "no")
	switch {
	case m.Member:
		member = marked(markGood, "yes")
	case m.Conditional:
		member.shown = "no, not by name; its condition may hold"
	}
	return details{json: m, rows: []detail{
		{"segment", text("%s", m.Segment)},
		{"user", text("%s", m.Unit)},
		{"member", member},
		{"by", text("%s", m.By)},
	}}
}

func newSegmentClear(a *app) *cobra.Command {
	var w writing
	cmd := &cobra.Command{
		Use: "clear NAME", Short: "Remove the member list of a segment", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(segmentNames), Example: "  seatrial segment clear vips --reason \"the sale is over\"",
	}
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		change, err := c.ClearList(cmd.Context(), args[0], w.to(""))
		if err != nil {
			return orSuggest(err, "segment", args[0], known(cmd.Context(), c, segmentNames))
		}
		return a.wrote(w, change, "segment %s: list removed, with %s", args[0], members(change.Removed))
	})
	return cmd
}
