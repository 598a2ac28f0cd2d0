package seatrialsql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/fault"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Names of the semantic conventions.
const (
	attrSystem    = attribute.Key("db.system.name")
	attrNamespace = attribute.Key("db.namespace")
	attrOperation = attribute.Key("db.operation.name")
	attrSummary   = attribute.Key("db.query.summary")
	attrText      = attribute.Key("db.query.text")
	attrStatus    = attribute.Key("db.response.status_code")
	attrErrorType = attribute.Key("error.type")

	attrDependency = attribute.Key("seatrial.dependency")   // our own name of what is called
	attrResend     = attribute.Key("seatrial.resend_count") // there is no standard one
)

// start begins the span of a try. The conventions let db.operation.name not be taken from the text
// of statements; db.query.summary is made for that.
func (s *source) start(ctx context.Context, op *operation, tries int) (context.Context, trace.Span) {
	attrs := append(make([]attribute.KeyValue, 0, len(s.attrs)+4), s.attrs...)
	name := op.name
	if op.summary != "" {
		name = op.summary
		attrs = append(attrs, attrSummary.String(op.summary))
	} else {
		attrs = append(attrs, attrOperation.String(op.name))
	}
	if op.text != "" && s.config.text {
		attrs = append(attrs, attrText.String(clip(op.text)))
	}
	if tries > 0 {
		attrs = append(attrs, attrResend.Int(tries))
	}
	return s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
}

// describe completes the span of a try. A driver that leaves a statement to be prepared has not
// failed.
func describe(span trace.Span, err error) {
	if err == nil || errors.Is(err, driver.ErrSkip) {
		return
	}
	state := stateOf(err)
	if state != "" {
		span.SetAttributes(attrStatus.String(state))
	}
	span.SetAttributes(attrErrorType.String(kindOf(err, state)))
	span.SetStatus(codes.Error, err.Error())
}

func kindOf(err error, state string) string {
	switch {
	case errors.Is(err, fault.ErrInjected):
		return "injected"
	case state != "":
		return state
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, driver.ErrBadConn):
		return "connection"
	default:
		return fmt.Sprintf("%T", err)
	}
}
