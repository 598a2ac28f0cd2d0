package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
)

func newSegment(a *app) *cobra.Command {
	return group(groupWork, "segment", "User groups that flags, rollouts and experiments can name",
		newSegmentList(a), newSegmentGet(a), newSegmentCreate(a), newSegmentSet(a), newSegmentDelete(a),
		newSegmentImport(a), newSegmentHas(a), newSegmentClear(a), newHistory(a, "segment", segmentNames))
}

var segmentColumns = []string{"KEY", "MEMBERS", "WHEN", "REVISION", "DESCRIPTION"}

func newSegmentList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List segments", Example: "  seatrial segment list"}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		segments, err := c.Segments(cmd.Context())
		if err != nil {
			return err
		}
		t := table{json: segments, head: segmentColumns,
			empty: `There are no segments yet. Make one: seatrial segment create beta-testers --when "group = beta"`}
		for _, s := range segments {
			t.rows = append(t.rows, []cell{text("%s", s.Key), text("%d", len(s.Members)+listed(s.Segment)), text("%s", segmentWhen(s.Segment)),
				text("%d", s.Revision), text("%s", s.Description)})
		}
		return a.print(t)
	})
	return cmd
}

// segmentWhen shows the condition of a segment; without one only its members belong to it.
func segmentWhen(s flag.Segment) string {
	if s.When == nil {
		return ""
	}
	return showCondition(s.When)
}

func newSegmentGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show one segment", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(segmentNames),
		Example: "  seatrial segment get beta-testers -o json",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		s, _, err := c.Segment(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "segment", args[0], known(cmd.Context(), c, segmentNames))
		}
		return a.printDetails(segmentDetails(s))
	})
	return cmd
}

func segmentDetails(s api.Segment) details {
	return details{json: s, rows: []detail{
		{"segment", text("%s", s.Key)},
		{"description", text("%s", s.Description)},
		{"when", text("%s", segmentWhen(s.Segment))},
		{"members", text("%s", strings.Join(s.Members, "\n"))},
		{"list", listCell(s.Segment)},
		{"revision", text("%d", s.Revision)},
	}}
}

// segmentEdit is what the command line changes about a segment.
type segmentEdit struct {
	file, description, when string
	add, remove             []string
}

func (e *segmentEdit) withFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&e.file, "file", "f", "", "read the whole segment from this JSON or YAML file, - for standard input")
	flags.StringVar(&e.description, "description", "", "who belongs to it")
	flags.StringVar(&e.when, "when", "", `condition, such as "country in SE,NO and plan = pro"; empty: members only`)
	flags.StringSliceVar(&e.add, "member", nil, "targeting `key` that belongs to it (repeatable, or by comma)")
}

func (e *segmentEdit) apply(a *app, cmd *cobra.Command, s *flag.Segment) error {
	if e.file != "" {
		document, err := a.readDocument(e.file)
		if err != nil {
			return err
		}
		whole, err := flag.DecodeSegment(withoutRevision(document))
		if err != nil {
			return fmt.Errorf("%s: %w", shownPath(e.file), err)
		}
		if s.Key != "" && whole.Key != "" && whole.Key != s.Key {
			return usage(fmt.Errorf("the file holds segment %q, the command line names %q", whole.Key, s.Key))
		}
		whole.Key = firstOf(whole.Key, s.Key)
		*s = whole
	}
	if cmd.Flags().Changed("description") {
		s.Description = e.description
	}
	if cmd.Flags().Changed("when") {
		when, err := parseCondition(e.when)
		if err != nil {
			return usage(err)
		}
		s.When = when
	}
	s.Members = slices.DeleteFunc(slices.Clone(s.Members), func(m string) bool { return slices.Contains(e.remove, m) })
	for _, m := range e.add {
		if !slices.Contains(s.Members, m) {
			s.Members = append(s.Members, m)
		}
	}
	return nil
}

func newSegmentCreate(a *app) *cobra.Command {
	var (
		w    writing
		edit segmentEdit
	)
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a segment", Args: cobra.MaximumNArgs(1),
		Example: `  seatrial segment create beta-testers --when "group = beta"
  seatrial segment create friends --member u1,u2
  seatrial segment create -f segment.yaml`,
	}
	edit.withFlags(cmd)
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		s := flag.Segment{Key: strings.Join(args, "")}
		if s.Key == "" && edit.file == "" {
			return usage(errors.New("name the segment, or give it by -f FILE"))
		}
		if err := edit.apply(a, cmd, &s); err != nil {
			return err
		}
		stored, err := c.CreateSegment(cmd.Context(), s, w.to(""))
		if err != nil {
			return err
		}
		return a.wrote(w, stored, "segment %s created", stored.Key)
	})
	return cmd
}

func newSegmentSet(a *app) *cobra.Command {
	var (
		w    writing
		edit segmentEdit
	)
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a segment", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(segmentNames),
		Example: `  seatrial segment set friends --member u3 --remove-member u1
  seatrial segment set beta-testers --when "group in beta,alpha"`,
	}
	edit.withFlags(cmd)
	cmd.Flags().StringSliceVar(&edit.remove, "remove-member", nil, "targeting `key` that no longer belongs to it (repeatable, or by comma)")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if !anyChanged(cmd, "file", "description", "when", "member", "remove-member") {
			return usage(errors.New("nothing to set: name what to change, such as --member u3"))
		}
		current, etag, err := c.Segment(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "segment", args[0], known(cmd.Context(), c, segmentNames))
		}
		changed := current.Segment
		if err := edit.apply(a, cmd, &changed); err != nil {
			return err
		}
		stored, err := c.PutSegment(cmd.Context(), changed, w.to(etag))
		if err != nil {
			return err
		}
		return a.wrote(w, stored, "segment %s changed", args[0])
	})
	return cmd
}
