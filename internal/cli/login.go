package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newLogin(a *app) *cobra.Command {
	var (
		code    string
		onStdin bool
	)
	cmd := &cobra.Command{
		Use: "login [LINK]", GroupID: groupStart, Short: "Remember a control plane and a token for it", Args: cobra.MaximumNArgs(1),
		Long: "Remember a control plane and a token for it, in a file that only you can read.\n\n" +
			"Give the one-time link that `seatrial serve` prints on its first start, or a one-time code, or a token on standard input.\n" +
			"A token is never taken from the command line's history: paste it when asked, or pipe it in.",
		Example: `  seatrial login "http://127.0.0.1:8420/login?code=..."
  seatrial login --server https://seatrial.example.com --code ...
  seatrial login --server https://seatrial.example.com --token-stdin < token.txt`,
	}
	cmd.Flags().StringVar(&code, "code", "", "the one-time code")
	cmd.Flags().BoolVar(&onStdin, "token-stdin", false, "read the token from standard input")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		target, err := a.loginTarget(args, code)
		if err != nil {
			return err
		}
		if target.code == "" {
			if target.token, err = a.readToken(onStdin); err != nil {
				return err
			}
		}
		return a.login(cmd.Context(), target)
	}
	return cmd
}

// loginTarget is where to log in and with what; either code or token is set.
type loginTarget struct{ server, code, token string }

func (a *app) loginTarget(args []string, code string) (loginTarget, error) {
	t := loginTarget{server: firstOf(a.server, a.getenv("SEATRIAL_SERVER")), code: code}
	if len(args) == 1 {
		link, err := url.Parse(args[0])
		if err != nil || link.Host == "" {
			return t, usage(fmt.Errorf("link %q: give the whole one-time link, http://...", args[0]))
		}
		t.server, t.code = link.Scheme+"://"+link.Host, firstOf(code, link.Query().Get("code"))
	}
	if t.server == "" {
		return t, usage(errors.New("where to? Give the one-time link, or --server"))
	}
	t.server = strings.TrimRight(t.server, "/")
	return t, nil
}

// readToken takes the token from standard input: piped if that was asked for, else typed unseen.
func (a *app) readToken(piped bool) (string, error) {
	if f, ok := a.in.(*os.File); ok && !piped && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(a.err, "Token: ")
		typed, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		return strings.TrimSpace(string(typed)), err
	}
	if !piped {
		return "", usage(errors.New("no one-time code and no token: give the link, --code, or --token-stdin with the token on standard input"))
	}
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return "", usage(fmt.Errorf("no token on standard input (%v)", err))
	}
	return line, nil
}

func (a *app) login(ctx context.Context, t loginTarget) error {
	c, err := api.New(t.server, t.token)
	if err != nil {
		return usage(err)
	}
	role := "a token"
	if t.code != "" {
		session, err := c.Login(ctx, t.code)
		if err != nil {
			return loginRefused(err, "the code is used up, expired or wrong: ask for a new link, `seatrial serve` and `seatrial dev` print one when they start")
		}
		t.token, role = session.Token, session.Role
	} else if _, err := c.Trials(ctx); err != nil {
		return loginRefused(err, "the token was refused: is it an API token (st_api_...), of this server, and not revoked?")
	}
	path, err := configFile()
	if err != nil {
		return err
	}
	if err := writeConnection(path, connection{Server: t.server, Token: t.token}); err != nil {
		return fmt.Errorf("%w: nothing was remembered", err)
	}
	a.say("%s", a.narration.marked(markGood, fmt.Sprintf("logged in to %s as %s; remembered in %s", t.server, role, path)))
	if unprotected(t.server) {
		a.say("%s", a.narration.marked(markWarn, "the connection is not encrypted: whoever listens in can take the token; use https"))
	}
	return nil
}

// loginRefused says in the words of a login why it failed; the exit code stays that of err.
func loginRefused(err error, text string) error {
	if exitCode(err) != exitAuth {
		return err
	}
	return &named{err: err, text: text}
}

// unprotected reports whether a server is reached over plain HTTP beyond this machine.
func unprotected(server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

func newLogout(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "logout", GroupID: groupStart, Short: "Forget the control plane and the token that login stored",
		Long:    "Forget the control plane and the token that login stored. The token stays valid until it is revoked: seatrial token revoke.",
		Example: "  seatrial logout",
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		path, err := configFile()
		if err != nil {
			return err
		}
		switch err := os.Remove(path); {
		case errors.Is(err, fs.ErrNotExist):
			a.say("there was no login to forget")
		case err != nil:
			return err
		default:
			a.say("%s", a.narration.marked(markGood, "forgotten; the token itself stays valid until `seatrial token revoke`"))
		}
		return nil
	}
	return cmd
}
