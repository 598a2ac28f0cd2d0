package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

// connection says which control plane to talk to, and as whom.
type connection struct {
	Server string `json:"server"`
	Token  string `json:"token,omitempty"`
	// TokenID is set if login made the token, so that logout can end it.
	TokenID string `json:"tokenId,omitempty"`
}

// connect finds the control plane: --server and --token, else the environment, else what login
// stored, else a dev or demo that runs on this machine. A server that was named explicitly never
// gets a token that was stored for another one.
func (a *app) connect() (*api.Client, error) {
	c, err := a.connectAnywhere()
	if err != nil {
		return nil, err
	}
	return c.In(firstOf(a.environment, a.getenv("SEATRIAL_ENVIRONMENT"))), nil
}

func (a *app) connectAnywhere() (*api.Client, error) {
	explicit := connection{Server: strings.TrimRight(firstOf(a.server, a.getenv("SEATRIAL_SERVER")), "/"), Token: firstOf(a.token, a.getenv("SEATRIAL_TOKEN"))}
	if explicit.Server != "" && explicit.Token != "" {
		return api.New(explicit.Server, explicit.Token)
	}
	for _, path := range []func() (string, error){configFile, localFile} {
		stored, err := readConnection(path)
		if err != nil {
			return nil, err
		}
		if stored.Server == "" || explicit.Server != "" && explicit.Server != stored.Server {
			continue
		}
		return api.New(stored.Server, firstOf(explicit.Token, stored.Token))
	}
	if explicit.Server == "" {
		return nil, errors.New("no control plane is known: start one with `seatrial dev`, or name one with --server or `seatrial login`")
	}
	return api.New(explicit.Server, explicit.Token)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// configFile is where login stores a connection.
func configFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no folder for configuration: %w: set XDG_CONFIG_HOME or HOME", err)
	}
	return filepath.Join(dir, "seatrial", "config.json"), nil
}

// localFile is where a running dev or demo leaves its connection.
func localFile() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for caches: %w: set XDG_CACHE_HOME or HOME", err)
	}
	return filepath.Join(dir, "seatrial", "local.json"), nil
}

// readConnection gives the stored connection, the zero value if there is none.
func readConnection(where func() (string, error)) (connection, error) {
	var c connection
	path, err := where()
	if err != nil {
		return c, nil // no home: then nothing is stored
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w: repair or remove the file, or give --server and --token", path, err)
	}
	return c, nil
}

// writeConnection stores a connection for this user's eyes only. The file appears whole or not
// at all.
func writeConnection(path string, c connection) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".connection-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(append(data, '\n'))
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// announceLocal lets other terminals find the control plane of this process until forget is
// called. A machine without a cache folder just does without.
func (a *app) announceLocal(c connection) (forget func()) {
	path, err := localFile()
	if err == nil {
		err = writeConnection(path, c)
	}
	if err != nil {
		a.say("other terminals need --server and --token: %v", err)
		return func() {}
	}
	return func() {
		if now, err := readConnection(localFile); err == nil && now == c {
			_ = os.Remove(path)
		}
	}
}

// onServer wraps a command's work with the client it needs.
func (a *app) onServer(do func(cmd *cobra.Command, args []string, c *api.Client) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.connect()
		if err != nil {
			return err
		}
		return withLoginHint(orSuggestEnv(cmd.Context(), c, do(cmd, args, c), c.Environment()))
	}
}

// withLoginHint adds the remedy to an answer that a token is missing or too weak.
func withLoginHint(err error) error {
	if err != nil && exitCode(err) == exitAuth {
		return fmt.Errorf("%w\nGive a token with --token or SEATRIAL_TOKEN, or run `seatrial login`", err)
	}
	return err
}
