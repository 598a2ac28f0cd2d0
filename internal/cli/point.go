package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

func newPoint(a *app) *cobra.Command {
	return group(groupLook, "point", "Points where faults can be injected, as services report them", newPointList(a))
}

// pointNames offers points with the services that have them.
func pointNames(ctx context.Context, c *api.Client) ([]string, error) {
	points, err := c.Points(ctx, "")
	return namesOf(points, func(p api.Point) string { return p.Name + "\t" + servicesOf(p, 3) }), err
}

var pointColumns = []string{"NAME", "SERVICES", "FAULTS", "LAST TRAFFIC", "EXPERIMENT"}

func newPointList(a *app) *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use: "list", Short: "List points, their last traffic, and the experiment that runs there", Args: cobra.NoArgs,
		Long: "List points: places in services where faults can be injected. Every dependency of a client is one, and so is what code names by\n" +
			"package fault. Services report theirs once a minute; one that nobody has reported for 24 hours is forgotten.\n\n" +
			"FAULTS says whether processes let faults be injected there, by seatrial.WithFaults: all, some (partly), or none (denied).",
		Example: "  seatrial point list\n  seatrial point list --service checkout -o json",
	}
	cmd.Flags().StringVar(&service, "service", "", "only points of this service")
	a.completeFlag(cmd, "service", serviceNames)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		points, err := c.Points(cmd.Context(), service)
		if err != nil {
			return err
		}
		return a.print(pointTable(points))
	})
	return cmd
}

func pointTable(points []api.Point) table {
	t := table{json: points, head: pointColumns,
		empty: "No points. Services report theirs within a minute; do they use the client, with an SDK key of this environment?"}
	for _, p := range points {
		t.rows = append(t.rows, []cell{text("%s", p.Name), {plain: servicesOf(p, len(p.Services)), shown: servicesOf(p, 3)}, permission(p.Faults),
			ago(p.LastTraffic), text("%s", strings.Join(p.Experiments, ","))})
	}
	return t
}

// servicesOf names at most so many services.
func servicesOf(p api.Point, most int) string {
	names := namesOf(p.Services, func(s api.PointService) string { return s.Name })
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ","), more)
	}
	return strings.Join(names, ",")
}

func permission(word string) cell {
	switch word {
	case "allowed":
		return marked(markGood, word)
	case "partly":
		return marked(markWarn, word)
	}
	return marked(markQuiet, word)
}
