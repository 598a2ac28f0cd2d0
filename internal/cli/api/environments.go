package api

import "context"

// Environment is a flag set of the server.
type Environment struct {
	Key      string `json:"key"`
	First    bool   `json:"first,omitempty"` // it keeps the server's tokens
	Flags    int    `json:"flags"`
	Segments int    `json:"segments"`
	Trials   int    `json:"trials"` // that run
	History  string `json:"history"`
	Revision int64  `json:"revision"`
}

const environmentsPath = "/api/v1/environments"

// Environments lists the environments of the server, the first of it first. They are few, so that
// the list has no pages.
func (c *Client) Environments(ctx context.Context) ([]Environment, error) {
	list, _, err := one[page[Environment]](ctx, c, environmentsPath)
	return list.Items, err
}

// CreateEnvironment makes an environment.
func (c *Client) CreateEnvironment(ctx context.Context, key string) (Environment, error) {
	return send[Environment](ctx, c, "POST", environmentsPath, map[string]string{"key": key}, Write{})
}

// DeleteEnvironment stops an environment and sets its data aside.
func (c *Client) DeleteEnvironment(ctx context.Context, key string) error {
	return c.remove(ctx, at(environmentsPath, key), Write{})
}
