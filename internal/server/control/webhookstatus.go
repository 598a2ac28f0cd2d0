package control

import "time"

// WebhookStatus says how the deliveries of a webhook go.
type WebhookStatus struct {
	// Delivered and Skipped count events since the webhook was made. Skipped ones were given up, as
	// LastSkipped says of the last; those that its filter leaves out are not counted.
	Delivered   uint64        `json:"delivered"`
	Skipped     uint64        `json:"skipped"`
	LastSkipped *SkippedEvent `json:"lastSkipped,omitempty"`
	// Pending counts the changes of trials that the webhook is behind the log. Not each of them
	// need have an event for it.
	Pending       int       `json:"pending"`
	LastSuccessAt time.Time `json:"lastSuccessAt,omitzero"`
	LastErrorAt   time.Time `json:"lastErrorAt,omitzero"`
	LastError     string    `json:"lastError,omitempty"`
	// Attempts counts how often the event that comes next has failed, since FailingSince; it is
	// tried again at NextAttemptAt. 0: nothing fails.
	Attempts      int       `json:"attempts,omitempty"`
	FailingSince  time.Time `json:"failingSince,omitzero"`
	NextAttemptAt time.Time `json:"nextAttemptAt,omitzero"`
}

// SkippedEvent is an event that was given up.
type SkippedEvent struct {
	ID  string    `json:"id"`
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// WebhookAnswer is what a receiver said to a test.
type WebhookAnswer struct {
	// Delivered is true if it took the event: a status of 2xx.
	Delivered bool   `json:"delivered"`
	ID        string `json:"id"`               // of the event, in the header webhook-id
	Status    int    `json:"status,omitempty"` // of HTTP; 0: there was no answer
	// Body is the beginning of the answer's body, printable characters only.
	Body   string  `json:"body,omitempty"`
	Error  string  `json:"error,omitempty"` // why it was not delivered
	TookMs float64 `json:"tookMs"`
}
