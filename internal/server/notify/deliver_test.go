package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/internal/core/trial"
	"github.com/seatrial/seatrial/internal/server/control"
)

func TestEventsArriveInOrder(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.start("before") // not told: it was before the webhook
		r.hook("ci")
		n := r.notifier()
		defer r.run(n)()
		r.start("one")
		r.command("one", "pause", "resume", "advance", "pause", "advance", "promote", "abort")
		r.start("one")
		synctest.Wait()
		wantTypes(t, r.types(), "trial.started", "trial.paused", "trial.resumed", "trial.stepped", "trial.paused",
			"trial.stepped", "trial.promoted", "trial.demoted", "trial.aborted", "trial.started")
		ids := map[string]bool{}
		for _, q := range r.requests() {
			ids[q.id] = true
			if b := q.json(t); b.ID != q.id || b.Version != 1 || q.header.Get("Content-Type") != "application/json" || strings.Contains(q.id, ".") {
				t.Errorf("id %s in the header, %s in the body", q.id, b.ID)
			}
		}
		if len(ids) != 10 {
			t.Errorf("%d ids for 10 events", len(ids))
		}
		s := r.status(n, "ci")
		if s.Delivered != 10 || s.Pending != 0 || s.Skipped != 0 || s.LastSuccessAt.IsZero() || s.LastError != "" {
			t.Errorf("status %+v", s)
		}
		last := r.requests()[6].json(t).Data
		if last.Trial != "one" || last.Environment != "production" || last.Share != 100 || last.Attempt != 1 || last.By != "ana" || last.Event != control.EventPromote ||
			last.Why == "" || last.Phase != trial.PhaseWatching || len(last.Guardrails) == 0 || last.Links.Trial != "https://seatrial.example.com/api/v1/trials/one?environment=production" {
			t.Errorf("data %+v", last)
		}
	})
}

func TestFailedDeliveriesAreRepeatedEverMoreSlowly(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ci")
		r.answerWith(func(q request) (int, http.Header) {
			switch len(r.requests()) {
			case 1, 2, 3:
				return 503, nil
			case 4:
				return 429, http.Header{"Retry-After": {"100"}}
			case 5:
				return 408, http.Header{"Retry-After": {time.Now().Add(50 * time.Second).UTC().Format(http.TimeFormat)}}
			}
			return 204, nil
		})
		n := r.notifier()
		defer r.run(n)()
		r.start("one")
		r.command("one", "pause")
		time.Sleep(time.Minute)
		if s := r.status(n, "ci"); s.Attempts != 4 || s.Pending != 2 || !strings.Contains(s.LastError, "429") || s.FailingSince.IsZero() || s.NextAttemptAt.IsZero() {
			t.Errorf("while it fails: %+v", s)
		}
		time.Sleep(10 * time.Minute)
		got := r.requests()
		if len(got) != 7 {
			t.Fatalf("%d requests", len(got))
		}
		var pauses []time.Duration
		for i, q := range got[1:6] {
			pauses = append(pauses, q.at.Sub(got[i].at).Round(time.Second))
			if q.id != got[0].id || q.body != got[0].body {
				t.Errorf("attempt %d is of %s, want %s", i+2, q.id, got[0].id)
			}
		}
		want := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 116 * time.Second, 82 * time.Second}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
		wantTypes(t, r.types()[5:], "trial.started", "trial.paused")
		if s := r.status(n, "ci"); s.Attempts != 0 || s.Delivered != 2 || s.Pending != 0 || !s.FailingSince.IsZero() {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

func TestWhatIsRefusedIsGivenUp(t *testing.T) {
	for _, status := range []int{400, 404, 410, 302, 308} {
		inFakeTime(t, func(r *rig) {
			t := r.t
			r.hook("ci")
			r.answerWith(func(q request) (int, http.Header) {
				if strings.Contains(q.body, "trial.started") {
					return status, http.Header{"Location": {"http://elsewhere.example.com/"}}
				}
				return 200, nil
			})
			n := r.notifier()
			defer r.run(n)()
			r.start("one")
			r.command("one", "pause")
			time.Sleep(time.Hour)
			wantTypes(t, r.types(), "trial.started", "trial.started", "trial.started", "trial.started", "trial.started", "trial.paused")
			s := r.status(n, "ci")
			if s.Skipped != 1 || s.Delivered != 1 || s.LastSkipped == nil || s.LastSkipped.ID != r.requests()[0].id || !strings.Contains(s.LastSkipped.Why, fmt.Sprint(status)) {
				t.Errorf("%d: status %+v", status, s)
			}
			if !strings.Contains(r.log.String(), "given up") || strings.Contains(r.log.String(), "s3cr3t") {
				t.Errorf("the log says %s", r.log)
			}
		})
	}
}

func TestADeadReceiverLosesEventsAfterThreeDays(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ci")
		r.answerWith(always(500))
		n := r.notifier()
		defer r.run(n)()
		r.start("one")
		time.Sleep(24 * time.Hour)
		r.command("one", "pause")
		time.Sleep(47 * time.Hour)
		if s := r.status(n, "ci"); s.Skipped != 0 || s.Pending != 2 {
			t.Errorf("after 71 hours: %+v", s)
		}
		time.Sleep(3 * time.Hour)
		if s := r.status(n, "ci"); s.Skipped != 1 || s.Pending != 1 || !strings.Contains(s.LastSkipped.Why, "3 days") {
			t.Errorf("after 74 hours: %+v", s)
		}
		if n := len(r.requests()); n > 110 {
			t.Errorf("%d attempts in 3 days", n)
		}
		r.answerWith(nil)
		time.Sleep(2 * time.Hour)
		if s := r.status(n, "ci"); s.Delivered != 1 || s.Pending != 0 {
			t.Errorf("when it is back: %+v", s)
		}
	})
}

// A process dies after the receiver has answered and before the cursor is moved.
func TestNothingIsLostBetweenDeliveryAndCursor(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ci")
		r.start("one")
		r.command("one", "pause", "resume", "abort")
		dying := map[string]context.CancelCauseFunc{}
		r.cursors.Moving = func(c control.Cursor) error {
			if c.Index == 0 {
				return nil
			}
			if die := dying[c.Owner]; die != nil { // an event was delivered
				die(errors.New("killed"))
			}
			return errors.New("killed") // a dead process does not release its lease either
		}
		for i := range 3 {
			owner := fmt.Sprint(i)
			ctx, die := context.WithCancelCause(t.Context())
			dying[owner] = die
			n := r.notifier(func(c *Config) { c.Owner = owner })
			done := make(chan struct{})
			go func() { defer close(done); n.Run(ctx) }()
			<-done
		}
		r.cursors.Moving = nil
		n := r.notifier()
		defer r.run(n)()
		time.Sleep(time.Minute) // until the last lease is over
		wantTypes(t, r.types(), "trial.started", "trial.started", "trial.started", "trial.started", "trial.paused", "trial.resumed", "trial.aborted")
		for _, q := range r.requests()[1:4] {
			if q.id != r.requests()[0].id {
				t.Errorf("a repetition has another id: %s, %s", q.id, r.requests()[0].id)
			}
		}
	})
}

func TestTwoServersDeliverEachEventOnce(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ci")
		first, second := r.notifier(), r.notifier()
		stop := r.run(first)
		defer r.run(second)()
		r.start("one")
		for range 20 {
			r.command("one", "pause")
			time.Sleep(7 * time.Second)
			r.command("one", "resume")
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		got := r.types()
		if len(got) != 41 {
			t.Fatalf("%d events arrived, want 41: %v", len(got), got)
		}
		for i := 1; i < len(got); i++ {
			if want := []string{"trial.resumed", "trial.paused"}[i%2]; got[i] != want {
				t.Errorf("event %d is %s, want %s", i, got[i], want)
			}
		}
		if first.Stats().Delivered+second.Stats().Delivered != 41 {
			t.Errorf("%+v and %+v", first.Stats(), second.Stats())
		}
		stop()
		r.command("one", "abort")
		time.Sleep(time.Minute)
		wantTypes(t, r.types()[41:], "trial.aborted")
	})
}

func TestASlowReceiverDelaysNobody(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("slow")
		r.hook("quick")
		r.answerWith(func(q request) (int, http.Header) {
			if q.host == "slow.example.com" {
				time.Sleep(time.Hour)
			}
			return 200, nil
		})
		n := r.notifier()
		stop := r.run(n)
		began := time.Now()
		r.start("one")
		r.command("one", "pause", "resume")
		synctest.Wait()
		if s := r.status(n, "quick"); s.Delivered != 3 || time.Since(began) > 0 {
			t.Errorf("after %s: %+v", time.Since(began), s)
		}
		time.Sleep(11 * time.Second)
		if s := r.status(n, "slow"); s.Delivered != 0 || !strings.Contains(s.LastError, "no answer within 10s") {
			t.Errorf("the slow one: %+v", s)
		}
		stop()
		time.Sleep(2 * time.Hour) // the receiver's own sleep ends
	})
}

func TestFilters(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ends", func(w *control.Webhook) { w.Events = []control.WebhookEvent{control.EventEnd, control.EventPromote} })
		r.hook("chaos", func(w *control.Webhook) { w.Goal = trial.GoalSurvive })
		r.hook("checkout", func(w *control.Webhook) { w.Trials = "check*-v*" })
		n := r.notifier()
		defer r.run(n)()
		r.start("checkout-v2")
		r.start("search")
		r.command("checkout-v2", "pause", "abort")
		r.command("search", "promote", "abort")
		synctest.Wait()
		by := map[string][]string{}
		for _, q := range r.requests() {
			b := q.json(t)
			host := strings.TrimSuffix(q.host, ".example.com")
			by[host] = append(by[host], b.Data.Trial+" "+b.Type)
		}
		wantTypes(t, by["ends"], "checkout-v2 trial.aborted", "search trial.promoted", "search trial.aborted")
		wantTypes(t, by["chaos"])
		wantTypes(t, by["checkout"], "checkout-v2 trial.started", "checkout-v2 trial.paused", "checkout-v2 trial.aborted")
		if s := r.status(n, "chaos"); s.Pending != 0 || s.Delivered != 0 {
			t.Errorf("status of one that wants nothing: %+v", s)
		}
	})
}

func TestEditsOfAWebhookTakeEffect(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ci")
		r.answerWith(func(q request) (int, http.Header) {
			if q.host == "ci.example.com" {
				return 500, nil
			}
			return 200, nil
		})
		n := r.notifier()
		defer r.run(n)()
		r.start("one")
		time.Sleep(12 * time.Hour)
		edit := control.Webhook{Name: "ci", URL: "http://new.example.com/", Enabled: true}
		put := func() {
			t.Helper()
			if _, err := r.PutWebhook(t.Context(), edit, ana); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		put()
		if s := r.status(n, "ci"); s.Delivered != 1 || s.Attempts != 0 {
			t.Errorf("the new address is not tried at once: %+v", s)
		}
		edit.Enabled = false
		put()
		r.command("one", "pause")
		synctest.Wait()
		edit.Enabled = true
		put()
		r.command("one", "resume")
		synctest.Wait()
		all := r.types()
		wantTypes(t, all[len(all)-2:], "trial.started", "trial.resumed")
		if _, err := r.DeleteWebhook(t.Context(), "ci", ana); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.command("one", "abort")
		time.Sleep(time.Hour)
		if len(r.types()) != len(all) {
			t.Error("a deleted webhook is told")
		}
		if _, err := n.Status(t.Context(), "ci"); control.CodeOf(err) != control.CodeNotFound {
			t.Errorf("its status gives %v", err)
		}
	})
}

func TestAHaltOfManyIsToldInPages(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		const many = 3*pageOfTrials + 2
		for i := range many {
			r.start(fmt.Sprintf("t%02d", i))
		}
		r.command("t07", "promote")
		r.hook("ci")
		if _, err := r.HaltAll(t.Context(), ana); err != nil {
			t.Fatal(err)
		}
		defer r.run(r.notifier())()
		synctest.Wait()
		got := r.requests()
		ids := map[string]bool{}
		for _, q := range got {
			ids[q.id] = true
		}
		if len(got) != many+1 || len(ids) != len(got) { // the demotion is an event of its own
			t.Errorf("%d events with %d ids, want %d", len(got), len(ids), many+1)
		}
		if !slices.IsSortedFunc(got, func(a, b request) int { return strings.Compare(a.json(t).Data.Trial, b.json(t).Data.Trial) }) {
			t.Error("they are not in the order of the change")
		}
	})
}

func TestAStoreThatFailsDelaysOnly(t *testing.T) {
	inFakeTime(t, func(r *rig) {
		t := r.t
		r.hook("ci")
		failing := 20
		r.cursors.Moving = func(control.Cursor) error {
			if failing--; failing > 0 {
				return &control.Error{Code: control.CodeUnavailable, Message: "the disk is full"}
			}
			return nil
		}
		defer r.run(r.notifier())()
		r.start("one")
		time.Sleep(time.Minute)
		wantTypes(t, r.types(), "trial.started")
		if n := strings.Count(r.log.String(), "disk is full"); n != 1 {
			t.Errorf("the log says it %d times", n)
		}
	})
}
