package storm

import (
	"fmt"
	"strings"
	"time"
)

// Geometry of the drawing, in pixels.
const (
	width, panel, left, right, top, between = 860, 220, 64, 200, 34, 58
	plotWidth                               = width - left - right
)

// Colours that people with any kind of colour vision tell apart (M. Okabe, K. Ito, Color Universal Design, 2008).
var colours = []string{"#999999", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7"}

// Plot draws the curves as an SVG: what arrives above, what succeeds below.
func Plot(curves []Curve) string {
	var b strings.Builder
	height := top + 2*panel + between + 46
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<title>Load on a service that is down from 5 s to 10 s, and calls that succeed, by policy</title>`+"\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	draw(&b, top, "attempts that reach the service, per second", 4500, curves, func(c Curve) []float64 { return c.Offered })
	draw(&b, top+panel+between, "calls that succeed, per second", 1600, curves, func(c Curve) []float64 { return c.Good })
	for i, c := range curves {
		y := top + 14 + i*20
		fmt.Fprintf(&b, `<path d="M%d %dh22" stroke="%s" stroke-width="3"/><text x="%d" y="%d">%s</text>`+"\n",
			width-right+14, y, colours[i], width-right+42, y+4, c.Name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func draw(b *strings.Builder, at int, title string, highest float64, curves []Curve, values func(Curve) []float64) {
	x := func(d time.Duration) float64 { return left + plotWidth*d.Seconds()/length.Seconds() }
	y := func(v float64) float64 { return float64(at+panel) - panel*min(v, highest)/highest }
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="600">%s</text>`+"\n", left, at-10, title)
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#f3e3e3"/>`+"\n", x(outage), at, x(back)-x(outage), panel)
	for v := 0.0; v <= highest; v += 500 {
		fmt.Fprintf(b, `<path d="M%d %.1fh%d" stroke="#dddddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", left, y(v), plotWidth, left-8, y(v)+4, v)
	}
	for s := 0; s <= int(length.Seconds()); s += 5 {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d s</text>`+"\n", x(time.Duration(s)*time.Second), at+panel+18, s)
	}
	fmt.Fprintf(b, `<path d="M%d %.1fh%d" stroke="#555555" stroke-dasharray="4 4"/>`+"\n", left, y(capacity), plotWidth)
	fmt.Fprintf(b, `<text x="%d" y="%.1f" fill="#555555">what it can do</text>`+"\n", width-right+14, y(capacity)+4)
	fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#aa6666" text-anchor="middle">down</text>`+"\n", x((outage+back)/2), at+panel-6)
	for i, c := range curves {
		b.WriteString(`<path fill="none" stroke-width="1.8" stroke="` + colours[i] + `" d="`)
		for k, v := range values(c) {
			command := 'L'
			if k == 0 {
				command = 'M'
			}
			fmt.Fprintf(b, "%c%.1f %.1f", command, x(time.Duration(k)*bin+bin/2), y(v))
		}
		b.WriteString(`"/>` + "\n")
	}
}
