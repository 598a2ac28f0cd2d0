module github.com/seatrial/seatrial/conformance

go 1.26.0

replace github.com/seatrial/seatrial => ../

require go.opentelemetry.io/collector/pdata v1.70.0 // indirect
