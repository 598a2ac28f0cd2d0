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

func newLayer(a *app) *cobra.Command {
	return group(groupWork, "layer", "Layers: experiments that exclude each other, and holdouts",
		newLayerList(a), newLayerGet(a), newLayerPut(a, "create", "Create a layer"), newLayerPut(a, "set", "Change a layer"), newLayerDelete(a),
		newHistory(a, "layer", layerNames))
}

var layerColumns = []string{"KEY", "SLOTS", "HOLDOUT", "GLOBAL", "REVISION", "DESCRIPTION"}

func newLayerList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List layers", Example: "  seatrial layer list", Args: cobra.NoArgs}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		layers, err := c.Layers(cmd.Context())
		if err != nil {
			return err
		}
		t := table{json: layers, head: layerColumns,
			empty: "There are no layers yet. Keep two experiments apart: seatrial layer create search --slot ranking=0%-50% --slot speed=50%-100%"}
		for _, l := range layers {
			t.rows = append(t.rows, []cell{text("%s", l.Key), text("%s", showSlots(l.Slots, " ")), text("%s", showShare(l.Holdout)),
				text("%t", l.Global), text("%d", l.Revision), text("%s", l.Description)})
		}
		return a.print(t)
	})
	return cmd
}

func showSlots(slots []flag.Slot, joint string) string {
	parts := make([]string, len(slots))
	for i, s := range slots {
		parts[i] = s.Flag + "=" + showShare(s.From) + "-" + showShare(s.To)
	}
	return strings.Join(parts, joint)
}

func newLayerGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show one layer", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(layerNames),
		Example: "  seatrial layer get search",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		l, _, err := c.Layer(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "layer", args[0], known(cmd.Context(), c, layerNames))
		}
		return a.printDetails(layerDetails(l))
	})
	return cmd
}

func layerDetails(l api.Layer) details {
	return details{json: l, rows: []detail{
		{"layer", text("%s", l.Key)},
		{"description", text("%s", l.Description)},
		{"slots", text("%s", showSlots(l.Slots, "\n"))},
		{"holdout", text("%s", showShare(l.Holdout))},
		{"global", text("%t", l.Global)},
		{"revision", text("%d", l.Revision)},
	}}
}

// layerEdit is what the command line changes about a layer.
type layerEdit struct {
	description, holdout string
	slots                []string
	global               bool
}

func newLayerPut(a *app, verb, short string) *cobra.Command {
	var w writing
	var e layerEdit
	cmd := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Long: short + ". Units are placed in a layer by hash; a flag with a slot tries something (a split, a rollout, an experiment) only on\n" +
			"units in its slot, so that flags of one layer exclude each other. On the holdout, at the top, no flag of the layer tries\n" +
			"anything; in a global layer, no flag at all.",
		Example: "  seatrial layer " + verb + " search --slot ranking=0%-50% --slot speed=50%-95% --holdout 5%\n  seatrial layer " + verb + " everywhere --global --holdout 1%",
	}
	if verb == "set" {
		cmd.ValidArgsFunction = a.complete(layerNames)
	}
	flags := cmd.Flags()
	flags.StringVar(&e.description, "description", "", "what it is for")
	flags.StringArrayVar(&e.slots, "slot", nil, "`FLAG=FROM-TO` in per cent, such as ranking=0%-50%; FLAG= takes the flag out (repeatable)")
	flags.StringVar(&e.holdout, "holdout", "", "share on which nothing is tried, such as 5%; 0% for none")
	flags.BoolVar(&e.global, "global", false, "the holdout is one of all flags")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if verb == "create" {
			return a.createLayer(cmd, args[0], c, w, e)
		}
		return a.setLayer(cmd, args[0], c, w, e)
	})
	return cmd
}

func (a *app) createLayer(cmd *cobra.Command, key string, c *api.Client, w writing, e layerEdit) error {
	l := flag.Layer{Key: key}
	if err := e.apply(cmd, &l); err != nil {
		return err
	}
	stored, err := c.CreateLayer(cmd.Context(), l, w.to(""))
	if err != nil {
		return err
	}
	return a.wrote(w, stored, "layer %s created", stored.Key)
}

func (a *app) setLayer(cmd *cobra.Command, key string, c *api.Client, w writing, e layerEdit) error {
	if !anyChanged(cmd, "description", "slot", "holdout", "global") {
		return usage(errors.New("nothing to set: name what to change, such as --holdout 5%"))
	}
	current, etag, err := c.Layer(cmd.Context(), key)
	if err != nil {
		return orSuggest(err, "layer", key, known(cmd.Context(), c, layerNames))
	}
	l := current.Layer
	if err := e.apply(cmd, &l); err != nil {
		return err
	}
	stored, err := c.PutLayer(cmd.Context(), l, w.to(etag))
	if err != nil {
		return err
	}
	return a.wrote(w, stored, "layer %s changed", key)
}

func (e *layerEdit) apply(cmd *cobra.Command, l *flag.Layer) (err error) {
	if cmd.Flags().Changed("description") {
		l.Description = e.description
	}
	if cmd.Flags().Changed("global") {
		l.Global = e.global
	}
	if cmd.Flags().Changed("holdout") {
		if l.Holdout, err = parsePlace(e.holdout); err != nil {
			return usage(fmt.Errorf("--holdout: %w", err))
		}
	}
	l.Slots = slices.Clone(l.Slots)
	for _, slot := range e.slots {
		if err := setSlot(l, slot); err != nil {
			return usage(err)
		}
	}
	slices.SortFunc(l.Slots, func(a, b flag.Slot) int { return int(a.From - b.From) })
	return nil
}

func setSlot(l *flag.Layer, slot string) error {
	name, band, ok := strings.Cut(slot, "=")
	if !ok || name == "" {
		return fmt.Errorf("--slot %s: write it as FLAG=0%%-50%%", slot)
	}
	l.Slots = slices.DeleteFunc(l.Slots, func(s flag.Slot) bool { return s.Flag == name })
	if band == "" {
		return nil
	}
	from, to, ok := strings.Cut(band, "-")
	if !ok {
		return fmt.Errorf("--slot %s: write it as FLAG=0%%-50%%", slot)
	}
	s := flag.Slot{Flag: name}
	var err error
	if s.From, err = parsePlace(from); err == nil {
		s.To, err = parsePlace(to)
	}
	if err != nil {
		return fmt.Errorf("--slot %s: %w", slot, err)
	}
	l.Slots = append(l.Slots, s)
	return nil
}
