package control

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestHoursOfTheWeek(t *testing.T) {
	for _, test := range []struct {
		hours, at string
		within    bool
	}{
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-02T09:00:00Z", true}, // 10:00 on a Monday
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-02T08:59:59Z", false},
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-02T14:59:59Z", true},
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-02T15:00:00Z", false}, // 16:00 is not within
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-10-23T08:00:00Z", true},  // summer time: 10:00
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-10-24T09:00:00Z", false}, // a Saturday
		{"Sat-Mon 00:00-24:00", "2026-11-01T23:59:59Z", true},
		{"Sat-Mon 00:00-24:00", "2026-11-03T00:00:00Z", false},
		{"Tue,Thu 22:00-24:00 America/New_York", "2026-11-04T04:59:00Z", true}, // still Tuesday there
		{"10:00-16:00", "2026-11-01T10:00:00Z", true},
		{"10:00-16:00 Asia/Kathmandu", "2026-11-01T04:15:00Z", true}, // 5:45 ahead
	} {
		h, err := parseHours(test.hours)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.contain(at); got != test.within {
			t.Errorf("%s within %s: %v", test.at, test.hours, got)
		}
	}
}

func TestHoursThatMakeNoSense(t *testing.T) {
	for text, says := range map[string]string{
		"": "no hours", "Mon-Fri": "no hours", "Mon-Fri 10-16": "no hours", "Mon 10:00-16:00 Europe/Berlin now": "too many words",
		"Mon Tue 10:00-16:00": "too many words", "Mo-Fr 10:00-16:00": "are no days", "Mon- 10:00-16:00": "are no days",
		"16:00-10:00": "no hours of one day", "10:00-10:00": "no hours of one day", "10:00": "no hours of one day", "10:00-24:30": "no hours of one day",
		"10:00-16:00 Europe/Berln": "no name of a time zone", "10:00-16:00 Local": "no name of a time zone", "10:00-16:00 ../../etc/passwd": "no name of a time zone",
	} {
		if _, err := parseHours(text); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "write it as") {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestWhenHoursBegin(t *testing.T) {
	for _, test := range []struct{ hours, after, want string }{
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-02T08:00:00Z", "2026-11-02T09:00:00Z"},
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-02T09:00:00Z", "2026-11-03T09:00:00Z"}, // they have begun
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-11-06T12:00:00Z", "2026-11-09T09:00:00Z"}, // over the weekend
		{"Mon-Fri 10:00-16:00 Europe/Berlin", "2026-10-23T12:00:00Z", "2026-10-26T09:00:00Z"}, // and the end of summer time
		{"Wed 00:00-24:00", "2026-11-04T00:00:00Z", "2026-11-11T00:00:00Z"},
	} {
		h, err := parseHours(test.hours)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := time.Parse(time.RFC3339, test.after)
		if got := h.next(after).UTC().Format(time.RFC3339); got != test.want {
			t.Errorf("%s after %s: %s, want %s", test.hours, test.after, got, test.want)
		}
	}
}

// A time of day stays that time of day when the clock is put back or forward.
func TestWholeDaysKeepTheTimeOfDay(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	h, err := parseHours("Mon-Fri 10:00-16:00 Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []time.Time{time.Date(2026, 10, 25, 0, 0, 0, 0, berlin), time.Date(2027, 3, 28, 0, 0, 0, 0, berlin)} {
		r := recurrence{first: change.AddDate(0, 0, -10).Add(11 * time.Hour).UTC(), every: 24 * time.Hour, within: h}
		at, days := r.first.Add(-1), 0
		for range 15 {
			next, ok := r.next(at)
			if !ok {
				t.Fatal("no next time")
			}
			if local := next.In(berlin); local.Hour() != r.first.In(berlin).Hour() || local.Weekday() == time.Saturday || local.Weekday() == time.Sunday {
				t.Errorf("%s is %s there", next, local)
			}
			at, days = next, days+1
		}
		if r.first.UTC().Hour() == at.UTC().Hour() {
			t.Errorf("the clock was not put: from %s to %s", r.first, at)
		}
	}
}

// Property: the next time is after now and within the hours, and none between now and then is, by
// an oracle that goes through all times one by one with the calendar of package time.
func TestNextTimeIsTheFirstThatFits(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"}
	days := []string{"", "Mon-Fri ", "Sat,Sun ", "Fri-Mon ", "Wed "}
	times := []string{"00:00-24:00", "10:00-16:00", "01:30-03:30", "23:00-24:00"}
	every := []time.Duration{5 * time.Minute, 55 * time.Minute, time.Hour, 7 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 36 * time.Hour}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(days).Draw(t, "days") + rapid.SampledFrom(times).Draw(t, "times") + " " + rapid.SampledFrom(zones).Draw(t, "zone")
		h, err := parseHours(text)
		if err != nil {
			t.Fatal(err)
		}
		first := time.Date(2026, 1, 1, 0, rapid.IntRange(0, 365*24*60).Draw(t, "first"), 0, 0, time.UTC)
		r := recurrence{first: first, every: rapid.SampledFrom(every).Draw(t, "every"), within: h}
		now := first.Add(time.Duration(rapid.IntRange(-60, 30*24*60).Draw(t, "now")) * time.Minute)
		got, ok := r.next(now)

		var want time.Time
		for k := 0; want.IsZero() && k < 20_000; k++ {
			at := first.Add(time.Duration(k) * r.every)
			if whole := int(r.every / (24 * time.Hour)); r.every%(24*time.Hour) == 0 {
				local := first.In(h.zone)
				at = time.Date(local.Year(), local.Month(), local.Day()+k*whole, local.Hour(), local.Minute(), 0, 0, h.zone)
			}
			if at.After(now) && h.contain(at) {
				want = at
			}
		}
		switch {
		case ok != !want.IsZero():
			t.Fatalf("%s every %s from %s after %s: found %v (%s), the oracle %s", text, r.every, first, now, ok, got, want)
		case ok && (!got.Equal(want) || !got.After(now) || !h.contain(got)):
			t.Fatalf("%s every %s from %s after %s: %s, the oracle %s", text, r.every, first, now, got, want)
		}
	})
}
