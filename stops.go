package seatrial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/fault"
)

// This file is the ways to stop all faults of a client. None of them needs the control plane, takes
// a lock that calls take, or waits for a call; all cut short what is being injected.

// faultsFilePoll is how often the file of WithFaultsFile is looked for.
const faultsFilePoll = 200 * time.Millisecond

// stops says why faults are off.
type stops struct {
	allowed bool
	denied  string                 // why they are not allowed
	stopped atomic.Pointer[string] // by StopFaults, for good
	file    atomic.Pointer[string] // while there is a file
}

// StopFaults ends all faults of the client at once and for good: what holds calls up is cut short,
// and nothing is injected any more until a new client is opened. It works without the control plane.
// The reason is for people and shows in [Status]; of several the first is kept. See
// [WithFaultsFile] for a way that can be taken back, and from outside of the process.
func (c *Client) StopFaults(reason string) {
	if c == nil {
		return
	}
	text := "stopped by the application"
	if reason != "" {
		text += ": " + reason
	}
	if !c.stops.stopped.CompareAndSwap(nil, &text) {
		return
	}
	if c.lease != nil {
		c.lease.End()
	}
	c.refreshPoints()
	c.config.logger.Warn("seatrial: faults are off", "why", text)
	c.announce()
}

// faultsOff tells by whose will the client's points are off; empty if by nobody's.
func (c *Client) faultsOff() string {
	if !c.stops.allowed {
		return c.stops.denied
	}
	if why := c.stops.stopped.Load(); why != nil {
		return *why
	}
	if why := c.stops.file.Load(); why != nil {
		return *why
	}
	if at := c.current.Load(); at != nil && at.set.FaultsOff {
		return "put off in the control plane, for the whole environment"
	}
	return ""
}

// whyNoFaults tells what keeps faults from being injected now, empty if nothing does.
func (c *Client) whyNoFaults() string {
	if why := c.faultsOff(); why != "" {
		return why
	}
	if why, off := fault.ProcessSwitch().Engaged(); off { // points look themselves, and it may go on again
		return why
	}
	switch {
	case c.closed.Load():
		return "the client is closed"
	case !c.renewed.Load():
		return "no word from the control plane yet"
	case !c.lease.Live():
		return fmt.Sprintf("no word from the control plane for %v", c.config.lease)
	}
	return ""
}

// watchFaultsFile keeps faults off while there is a file, until ctx ends.
func (c *Client) watchFaultsFile(ctx context.Context) {
	ticker := time.NewTicker(faultsFilePoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.lookForFaultsFile()
		}
	}
}

// lookForFaultsFile looks once. A file that cannot be looked for counts as there.
func (c *Client) lookForFaultsFile() {
	path, was := c.config.faultsFile, c.stops.file.Load()
	_, err := os.Stat(path)
	there := !errors.Is(err, fs.ErrNotExist)
	if there == (was != nil) {
		return
	}
	var why *string
	if there {
		text := fmt.Sprintf("the file %s is there", path)
		if err != nil {
			text = fmt.Sprintf("the file %s cannot be looked for: %v", path, err)
		}
		why = &text
		c.config.logger.Warn("seatrial: faults are off", "why", text)
	} else {
		c.config.logger.Warn("seatrial: faults may be injected again: the file is gone", "file", path)
	}
	c.stops.file.Store(why)
	c.refreshPoints()
	c.announce()
}
