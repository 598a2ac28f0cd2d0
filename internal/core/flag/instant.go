package flag

import "time"

// ParseInstant reads an instant in RFC 3339, such as 2026-12-31T23:59:59Z, with any fraction of a
// second (after a point) and any offset. It takes what time.Parse takes, but asks nobody for a time
// zone and does not allocate. The instant is in UTC.
func ParseInstant(text string) (time.Time, bool) {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(text) <= len(shape) || !shaped(text[:len(shape)], shape) {
		return time.Time{}, false
	}
	year, month, day := digits(text[0:4]), digits(text[5:7]), digits(text[8:10])
	hour, minute, second := digits(text[11:13]), digits(text[14:16]), digits(text[17:19])
	nanosecond, rest := fraction(text[len(shape):])
	offset, ok := zone(rest)
	if !ok || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	return t.Add(-offset), t.Day() == day && day > 0 // 31 June would be 1 July
}

// shaped reports whether text has a digit for each d of shape, and else its bytes.
func shaped(text, shape string) bool {
	if len(text) != len(shape) {
		return false
	}
	for i := range len(shape) {
		if shape[i] == 'd' && !isDigit(text[i]) || shape[i] != 'd' && text[i] != shape[i] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func digits(text string) (n int) {
	for i := range len(text) {
		n = 10*n + int(text[i]-'0')
	}
	return n
}

// fraction reads a point with digits, if there is one. Digits beyond the ninth are dropped.
func fraction(text string) (nanosecond int, rest string) {
	if len(text) < 2 || text[0] != '.' || !isDigit(text[1]) {
		return 0, text
	}
	unit, i := 100_000_000, 1
	for ; i < len(text) && isDigit(text[i]); i++ {
		nanosecond += unit * int(text[i]-'0')
		unit /= 10
	}
	return nanosecond, text[i:]
}

// zone reads Z or an offset from UTC.
func zone(text string) (time.Duration, bool) {
	if text == "Z" {
		return 0, true
	}
	if !shaped(text, "+dd:dd") && !shaped(text, "-dd:dd") {
		return 0, false
	}
	hours, minutes := digits(text[1:3]), digits(text[4:6])
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, hours <= 24 && minutes <= 60
}
