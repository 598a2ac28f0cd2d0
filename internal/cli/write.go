package cli

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

// writing holds the flags that commands share which change something.
type writing struct {
	reason string
	dryRun bool
}

// withReason adds --reason, withDryRun also --dry-run.
func (w *writing) withReason(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.reason, "reason", "", "why, for the change log")
}

func (w *writing) withDryRun(cmd *cobra.Command) {
	w.withReason(cmd)
	cmd.Flags().BoolVar(&w.dryRun, "dry-run", false, "check and show what would be stored, and store nothing")
}

// to gives the options of the API for an entity that must still have the ETag; empty: any.
func (w writing) to(etag string) api.Write {
	return api.Write{Reason: w.reason, DryRun: w.dryRun, IfMatch: etag}
}

// wrote reports a change: the stored value on standard output as JSON if that was asked for (in
// a dry run always, as then it is what was asked for), and a sentence for people.
func (a *app) wrote(w writing, stored any, format string, args ...any) error {
	sentence := fmt.Sprintf(format, args...)
	if w.dryRun {
		a.say("%s", a.narration.marked(markQuiet, "dry run, nothing was stored: "+sentence))
	} else {
		a.say("%s", a.narration.marked(markGood, sentence))
	}
	if stored != nil && (w.dryRun || a.format() == formatJSON) {
		return a.printJSON(stored)
	}
	return nil
}

// orSuggest adds to an answer that something does not exist the nearest name that does.
func orSuggest(err error, noun, name string, names func() []string) error {
	if !api.NotFound(err) {
		return err
	}
	hint := flag.Suggest(name, slices.Values(names()))
	if hint == "" {
		hint = fmt.Sprintf("; `seatrial %s list` shows what there is", noun)
	}
	if i := strings.IndexByte(noun, ' '); i > 0 {
		noun = noun[:i]
	}
	return &named{err: err, text: fmt.Sprintf("there is no %s %q%s", noun, name, hint)}
}

// named is an error in the command line's own words; what the server said stays inside.
type named struct {
	err  error
	text string
}

func (n *named) Error() string { return n.text }
func (n *named) Unwrap() error { return n.err }

// oneOf checks a word of the command line against those that are known.
func oneOf(what, word string, known ...string) error {
	if slices.Contains(known, word) {
		return nil
	}
	return usage(fmt.Errorf("%s %q: use %s%s", what, word, either(slices.Values(known)), flag.Suggest(word, slices.Values(known))))
}

// either joins words: "a, b or c".
func either(words iter.Seq[string]) string {
	list := slices.Collect(words)
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
