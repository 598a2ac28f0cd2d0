package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/internal/server/control"
	"github.com/seatrial/seatrial/internal/server/store/sqlite"
)

// What stock clients ask for is noted, so that it does not count as unused.
func TestEvaluationsAreNoted(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	c := connect(t, s, adminToken)
	c.want(201, "POST", "/api/v1/flags", searchFlag)
	usage := s.environments.first.usage
	if _, seen := usage.LastSeen("search"); seen {
		t.Fatal("nobody has asked yet")
	}
	for name, path := range map[string]string{"ofrep": "/ofrep/v1/evaluate/flags/search", "flagd": "/flagd.evaluation.v2.Service/ResolveBoolean"} {
		if status, answer := post(t, s.URL(), path, `{"flagKey":"search","context":{}}`); status != 200 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if at, seen := usage.LastSeen("search"); !seen || time.Since(at) > time.Minute {
		t.Errorf("last seen %v, %v", at, seen)
	}
	figures := parse(t, c.want(200, "GET", "/metrics", ""))
	for _, protocol := range []string{"ofrep", "flagd"} {
		if got := figures.values[`seatrial_evaluations_total{protocol="`+protocol+`"}`]; got != 1 {
			t.Errorf("%v evaluations by %s, want 1", got, protocol)
		}
	}
}

// Schedules are carried out by a running server.
func TestSchedulesAreCarriedOut(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *Server, web *http.Client) {
		c := connect(t, s, adminToken)
		c.http = web
		c.want(201, "POST", "/api/v1/flags", searchFlag)
		at := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		c.want(201, "POST", "/api/v1/schedules", `{"flag":"search","at":"`+at+`","patch":{"defaultVariant":"on"}}`)
		service := s.environments.first.service
		for _, want := range []string{"off", "on"} {
			time.Sleep(40 * time.Minute)
			if f, err := service.GetFlag("search"); err != nil || f.DefaultVariant != want {
				t.Errorf("the default variant is %q, want %q (%v)", f.DefaultVariant, want, err)
			}
		}
		if list, _ := service.ListSchedules(control.ScheduleFilter{State: control.ScheduleDone}, control.Page{}); len(list) != 1 {
			t.Errorf("%d schedules are done", len(list))
		}
	})
}

// A member list that was uploaded decides for stock clients, too.
func TestListsDecide(t *testing.T) {
	s := start(t, local(sqlite.Memory))
	c := connect(t, s, adminToken)
	c.want(201, "POST", "/api/v1/segments", `{"key":"vip"}`)
	flag := strings.Replace(searchFlag, `"defaultVariant"`, `"rules":[{"when":{"segment":"vip"},"serve":"on"}],"defaultVariant"`, 1)
	c.want(201, "POST", "/api/v1/flags", flag)
	upload, err := http.NewRequest("PUT", s.URL()+"/api/v1/segments/vip/list", strings.NewReader("ana\nbo\n"))
	if err != nil {
		t.Fatal(err)
	}
	upload.Header.Set("Authorization", "Bearer "+c.secret)
	upload.Header.Set("Content-Type", "text/plain")
	if status, answer := c.do(upload); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	for user, want := range map[string]string{"ana": `"variant":"on"`, "eve": `"variant":"off"`} {
		if _, answer := post(t, s.URL(), "/ofrep/v1/evaluate/flags/search", `{"context":{"targetingKey":"`+user+`"}}`); !strings.Contains(answer, want) {
			t.Errorf("%s: %s, want %s", user, answer, want)
		}
	}
}
