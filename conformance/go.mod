module github.com/seatrial/seatrial/conformance

go 1.26.0

replace github.com/seatrial/seatrial => ../

require (
	github.com/seatrial/seatrial v0.0.0-00010101000000-000000000000
	github.com/sony/gobreaker/v2 v2.4.0
)
