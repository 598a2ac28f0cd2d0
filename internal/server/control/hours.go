package control

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // servers run where no time zones are installed, too
)

// hours are the times of a week in which something may begin. The zero value is any time.
type hours struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day, on the clock of the zone; to is not within
	zone     *time.Location
}

const dayMinutes = 24 * 60

var weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// parseHours reads "Mon-Fri 10:00-16:00 Europe/Berlin": days as ranges or by comma (left out: every
// day), from when until when, and a name of the IANA time zone database (left out: UTC).
func parseHours(text string) (hours, error) {
	fail := func(format string, args ...any) (hours, error) {
		return hours{}, fmt.Errorf(`%q: %s; write it as "Mon-Fri 10:00-16:00 Europe/Berlin"`, text, fmt.Sprintf(format, args...))
	}
	fields := strings.Fields(text)
	at := slices.IndexFunc(fields, func(f string) bool { return strings.Contains(f, ":") })
	if at < 0 || at > 1 || len(fields) > at+2 {
		return fail("it has no hours, or too many words")
	}
	h := hours{zone: time.UTC}
	if err := h.readDays(append([]string{"Sun-Sat"}, fields[:at]...)[at]); err != nil {
		return fail("%v", err)
	}
	from, to, _ := strings.Cut(fields[at], "-")
	var fromOK, toOK bool
	h.from, fromOK = minuteOfDay(from)
	h.to, toOK = minuteOfDay(to)
	if !fromOK || !toOK || h.from >= h.to {
		return fail("%s are no hours of one day", fields[at])
	}
	if len(fields) > at+1 {
		zone, err := time.LoadLocation(fields[at+1])
		if err != nil || fields[at+1] == "Local" {
			return fail("%q is no name of a time zone", fields[at+1])
		}
		h.zone = zone
	}
	return h, nil
}

// readDays reads "Mon-Fri,Sun".
func (h *hours) readDays(text string) error {
	for _, part := range strings.Split(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || to < 0 {
			return fmt.Errorf("%q are no days, such as Mon, Mon-Fri or Sat,Sun", part)
		}
		for day := from; ; day = (day + 1) % 7 {
			h.days[day] = true
			if day == to {
				break
			}
		}
	}
	return nil
}

// minuteOfDay reads 10:30; 24:00 is the end of the day.
func minuteOfDay(text string) (int, bool) {
	if text == "24:00" {
		return dayMinutes, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil
}

// contain reports whether a moment is within the hours.
func (h hours) contain(t time.Time) bool {
	if h.zone == nil {
		return true
	}
	t = t.In(h.zone)
	minute := t.Hour()*60 + t.Minute()
	return h.days[t.Weekday()] && minute >= h.from && minute < h.to
}

// next gives when the hours begin for the first time after a moment.
func (h hours) next(after time.Time) time.Time {
	local := after.In(h.zone)
	for day := 0; ; day++ {
		at := time.Date(local.Year(), local.Month(), local.Day()+day, h.from/60, h.from%60, 0, 0, h.zone)
		if day > 7 || at.After(after) && h.contain(at) { // a week has all days
			return at
		}
	}
}

// recurrence is when something happens: first, and then every so often, within hours. Without every
// it happens once.
type recurrence struct {
	first  time.Time
	every  time.Duration
	within hours
}

// maxSteps bounds how many times outside of the hours are passed over, for the next one within.
const maxSteps = 10_000

// next gives the first time after a moment; false if there is none, or none within 10 000 steps.
func (r recurrence) next(after time.Time) (time.Time, bool) {
	if r.every <= 0 {
		return r.first, r.first.After(after) && r.within.contain(r.first)
	}
	k := max(0, int(after.Sub(r.first)/r.every)-1) // a day may have 25 hours
	for end := k + maxSteps; k < end; k++ {
		if at := r.at(k); at.After(after) && r.within.contain(at) {
			return at, true
		}
	}
	return time.Time{}, false
}

// at gives the time number k, from 0. Whole days keep the time of day on the clock of the zone, also
// when the clock is put forward or back; a time that the clock leaves out that day is an hour off.
func (r recurrence) at(k int) time.Time {
	const day = 24 * time.Hour
	if r.every%day != 0 || r.within.zone == nil {
		return r.first.Add(time.Duration(k) * r.every)
	}
	return r.first.In(r.within.zone).AddDate(0, 0, k*int(r.every/day)).UTC()
}
