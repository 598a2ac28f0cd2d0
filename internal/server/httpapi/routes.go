package httpapi

import (
	"net/http"

	"github.com/seatrial/seatrial/internal/server/auth"
	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/lists"
)

// class says how a route is treated.
type class int

const (
	classAPI       class = iota // JSON in, JSON out
	classUrgent                 // as classAPI, with room of its own: an emergency stop is not refused for load
	classStream                 // lives long, has no deadline
	classTelemetry              // large bodies, its own limits
	classUpload                 // text in, the largest bodies, takes minutes; JSON out
	classPart                   // a part of a member list out
	classProbe                  // for machines of operators, which may add parameters
	classPage                   // for people: errors are pages
)

// route is one line of the table. The zero need lets nobody in.
type route struct {
	method, path string
	need         auth.Need
	class        class
	query        []string // the parameters it takes
	// conditional routes take If-Match or If-None-Match, keyed ones an Idempotency-Key.
	conditional, keyed bool
	handle             func(*call) error
}

// ServeHTTP does nothing: the table only finds the route and its path values.
func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

var (
	sdk    = auth.AtLeast(control.RoleSDK)
	viewer = auth.AtLeast(control.RoleViewer)
	editor = auth.AtLeast(control.RoleEditor)
	admin  = auth.AtLeast(control.RoleAdmin)

	paged   = []string{"limit", "cursor"}
	written = []string{"dryRun", "reason"}
)

const v1 = "/api/v1"

// routes is every path that the server answers on, with who may use it.
func routes() []route {
	return []route{
		{method: "GET", path: v1 + "/flags", need: viewer, query: paged, handle: flags.listAll},
		{method: "POST", path: v1 + "/flags", need: editor, query: written, keyed: true, handle: flags.createOne},
		{method: "GET", path: v1 + "/flags/{key}", need: viewer, handle: flags.getOne},
		{method: "PUT", path: v1 + "/flags/{key}", need: editor, query: written, conditional: true, keyed: true, handle: flags.putOne},
		{method: "DELETE", path: v1 + "/flags/{key}", need: editor, query: written, conditional: true, keyed: true, handle: flags.removeOne},
		{method: "GET", path: v1 + "/flags/{key}/history", need: viewer, query: []string{"limit", "cursor", "before"}, handle: history(control.KindFlag)},
		{method: "POST", path: v1 + "/flags/{key}/restore", need: editor, query: written, conditional: true, keyed: true, handle: (*call).restoreFlag},

		{method: "GET", path: v1 + "/segments", need: viewer, query: paged, handle: segments.listAll},
		{method: "POST", path: v1 + "/segments", need: editor, query: written, keyed: true, handle: segments.createOne},
		{method: "GET", path: v1 + "/segments/{key}", need: viewer, handle: segments.getOne},
		{method: "PUT", path: v1 + "/segments/{key}", need: editor, query: written, conditional: true, keyed: true, handle: segments.putOne},
		{method: "DELETE", path: v1 + "/segments/{key}", need: editor, query: written, conditional: true, keyed: true, handle: segments.removeOne},
		{method: "GET", path: v1 + "/segments/{key}/history", need: viewer, query: []string{"limit", "cursor", "before"}, handle: history(control.KindSegment)},
		{method: "GET", path: v1 + "/segments/{key}/list", need: viewer, handle: (*call).getList},
		{method: "PUT", path: v1 + "/segments/{key}/list", need: editor, class: classUpload, query: written, handle: upload((*lists.Service).Replace)},
		{method: "DELETE", path: v1 + "/segments/{key}/list", need: editor, query: written, handle: (*call).clearList},
		{method: "POST", path: v1 + "/segments/{key}/list/add", need: editor, class: classUpload, query: written, handle: upload((*lists.Service).Add)},
		{method: "POST", path: v1 + "/segments/{key}/list/remove", need: editor, class: classUpload, query: written, handle: upload((*lists.Service).Remove)},
		{method: "GET", path: v1 + "/segments/{key}/list/contains", need: viewer, query: []string{"unit"}, handle: (*call).listContains},
		{method: "GET", path: v1 + "/parts/{digest}", need: sdk, class: classPart, handle: (*call).getPart},

		{method: "GET", path: v1 + "/layers", need: viewer, query: paged, handle: layers.listAll},
		{method: "POST", path: v1 + "/layers", need: editor, query: written, keyed: true, handle: layers.createOne},
		{method: "GET", path: v1 + "/layers/{key}", need: viewer, handle: layers.getOne},
		{method: "PUT", path: v1 + "/layers/{key}", need: editor, query: written, conditional: true, keyed: true, handle: layers.putOne},
		{method: "DELETE", path: v1 + "/layers/{key}", need: editor, query: written, conditional: true, keyed: true, handle: layers.removeOne},
		{method: "GET", path: v1 + "/layers/{key}/history", need: viewer, query: []string{"limit", "cursor", "before"}, handle: history(control.KindLayer)},

		{method: "POST", path: v1 + "/apply", need: editor, query: written, keyed: true, handle: (*call).apply},
		{method: "GET", path: v1 + "/stale", need: viewer, handle: (*call).listStale},
		{method: "GET", path: v1 + "/schedules", need: viewer, query: []string{"limit", "cursor", "flag", "state"}, handle: (*call).listSchedules},
		{method: "POST", path: v1 + "/schedules", need: editor, query: written, keyed: true, handle: (*call).createSchedule},
		{method: "GET", path: v1 + "/schedules/{id}", need: viewer, handle: (*call).getSchedule},
		{method: "DELETE", path: v1 + "/schedules/{id}", need: editor, query: written, keyed: true, handle: (*call).cancelSchedule},

		{method: "GET", path: v1 + "/trials", need: viewer, query: paged, handle: (*call).listTrials},
		{method: "POST", path: v1 + "/trials", need: editor, query: written, keyed: true, handle: (*call).startTrial},
		{method: "GET", path: v1 + "/trials/{key}", need: viewer, handle: (*call).getTrial},
		{method: "POST", path: v1 + "/trials/{key}/actions", need: editor, query: written, conditional: true, keyed: true, handle: (*call).commandTrial},
		{method: "GET", path: v1 + "/trials/{key}/verdict", need: viewer, query: []string{"expect"}, handle: (*call).trialVerdict},
		{method: "POST", path: v1 + "/trials/{key}/verdict", need: viewer, query: []string{"expect"}, handle: (*call).trialVerdict},
		{method: "POST", path: v1 + "/verdicts", need: editor, query: []string{"expect", "retry"}, handle: (*call).ensureVerdict},
		{method: "POST", path: v1 + "/verdicts/flagger", need: editor, query: []string{"expect"}, handle: (*call).flaggerVerdict},
		{method: "GET", path: v1 + "/trials/{key}/intervals", need: viewer, query: []string{"limit", "cursor", "after", "attempt"}, handle: (*call).listIntervals},
		{method: "GET", path: v1 + "/trials/{key}/history", need: viewer, query: []string{"limit", "cursor", "before"}, handle: history(control.KindTrial)},

		{method: "POST", path: v1 + "/halt", need: editor, class: classUrgent, query: written, handle: (*call).halt},
		{method: "GET", path: v1 + "/chaos", need: viewer, class: classUrgent, handle: (*call).getLever},
		{method: "PUT", path: v1 + "/chaos", need: editor, class: classUrgent, query: written, handle: (*call).putLever},

		{method: "GET", path: v1 + "/webhooks", need: viewer, query: paged, handle: (*call).listWebhooks},
		{method: "POST", path: v1 + "/webhooks", need: editor, query: written, keyed: true, handle: (*call).createWebhook},
		{method: "GET", path: v1 + "/webhooks/{key}", need: viewer, handle: (*call).getWebhook},
		{method: "PUT", path: v1 + "/webhooks/{key}", need: editor, query: written, conditional: true, keyed: true, handle: (*call).putWebhook},
		{method: "DELETE", path: v1 + "/webhooks/{key}", need: editor, query: written, conditional: true, keyed: true, handle: (*call).deleteWebhook},
		{method: "POST", path: v1 + "/webhooks/{key}/rotate", need: editor, query: written, keyed: true, handle: (*call).rotateWebhook},
		{method: "POST", path: v1 + "/webhooks/{key}/test", need: editor, handle: (*call).testWebhook},
		{method: "GET", path: v1 + "/webhooks/{key}/history", need: viewer, query: []string{"limit", "cursor", "before"}, handle: history(control.KindWebhook)},

		{method: "GET", path: v1 + "/changes", need: viewer, query: []string{"limit", "cursor", "after", "order"}, handle: (*call).listChanges},
		{method: "GET", path: v1 + "/changes/{revision}", need: viewer, handle: (*call).getChange},
		{method: "POST", path: v1 + "/changes/{revision}/revert", need: editor, query: written, keyed: true, handle: (*call).revertChange},

		{method: "GET", path: v1 + "/tokens", need: admin, query: paged, handle: serverWide((*call).listTokens)},
		{method: "POST", path: v1 + "/tokens", need: admin, query: written, keyed: true, handle: serverWide((*call).createToken)},
		{method: "DELETE", path: v1 + "/tokens/{id}", need: admin, query: written, conditional: true, keyed: true, handle: serverWide((*call).revokeToken)},
		{method: "GET", path: v1 + "/environments", need: viewer, handle: serverWide((*call).listEnvironments)},
		{method: "POST", path: v1 + "/environments", need: admin, handle: serverWide((*call).createEnvironment)},
		{method: "GET", path: v1 + "/environments/{key}", need: viewer, handle: serverWide((*call).getEnvironment)},
		{method: "DELETE", path: v1 + "/environments/{key}", need: admin, handle: serverWide((*call).deleteEnvironment)},
		{method: "GET", path: v1 + "/environments/{key}/compare", need: viewer, query: []string{"with"}, handle: serverWide((*call).compareEnvironments)},
		{method: "POST", path: v1 + "/environments/{key}/promote", need: editor, query: written, keyed: true, handle: serverWide((*call).promote)},
		{method: "POST", path: v1 + "/login", need: auth.Anyone(), handle: (*call).login},

		{method: "GET", path: v1 + "/traces", need: viewer, query: []string{"flag", "variant", "service", "error", "minMs", "limit"}, handle: (*call).listTraces},
		{method: "GET", path: v1 + "/traces/{id}", need: viewer, handle: (*call).getTrace},
		{method: "GET", path: v1 + "/points", need: viewer, query: []string{"limit", "cursor", "service"}, handle: (*call).listPoints},
		{method: "GET", path: v1 + "/dependencies", need: viewer, query: []string{"limit", "cursor", "service"}, handle: (*call).listDependencies},
		{method: "GET", path: v1 + "/dependencies/{key}", need: viewer, handle: (*call).getDependency},
		{method: "GET", path: v1 + "/transitions", need: viewer, query: []string{"limit", "after", "dependency", "service"}, handle: (*call).listTransitions},
		{method: "POST", path: v1 + "/evaluate", need: viewer, handle: (*call).evaluate},

		{method: "GET", path: v1 + "/snapshot", need: sdk, handle: (*call).snapshot},
		{method: "GET", path: v1 + "/stream", need: sdk, class: classStream, query: []string{"after"}, handle: (*call).stream},
		{method: "POST", path: "/v1/traces", need: sdk, class: classTelemetry, handle: telemetry(func(c Config) http.Handler { return c.OTLPTraces })},
		{method: "POST", path: "/v1/metrics", need: sdk, class: classTelemetry, handle: telemetry(func(c Config) http.Handler { return c.OTLPMetrics })},

		{method: "GET", path: "/livez", need: auth.Anyone(), class: classProbe, handle: (*call).livez},
		{method: "GET", path: "/readyz", need: auth.Anyone(), class: classProbe, handle: (*call).readyz},
		{method: "GET", path: "/metrics", need: viewer, class: classProbe, handle: (*call).metrics},

		{method: "GET", path: "/{$}", need: viewer, class: classPage, handle: (*call).home},
		{method: "GET", path: "/login", need: auth.Anyone(), class: classPage, handle: (*call).loginPage},
		{method: "POST", path: "/logout", need: viewer, class: classPage, handle: (*call).logout},
	}
}
