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
	"os/user"
	"strings"
	"time"

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
			return t, usage(fmt.Errorf("link %q: give the whole one-time link, such as http://127.0.0.1:8420/login?code=x", args[0]))
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
	path, err := configFile()
	if err != nil {
		return err
	}
	remember, until := connection{Server: t.server, Token: t.token}, ""
	if t.code != "" {
		made, err := exchangeCode(ctx, c, t)
		if err != nil {
			return err
		}
		remember.Token, remember.TokenID = made.Secret, made.ID
		until = " as " + made.Role
		if !made.ExpiresAt.IsZero() {
			until += " until " + made.ExpiresAt.Local().Format(time.DateOnly)
		}
	} else if _, err := c.Trials(ctx); err != nil {
		return loginRefused(err, "the token was refused: is it an API token (st_api_...), of this server, and not revoked?")
	}
	if err := writeConnection(path, remember); err != nil {
		return fmt.Errorf("%w: nothing was remembered", err)
	}
	a.say("%s", a.narration.marked(markGood, fmt.Sprintf("logged in to %s%s; remembered in %s", t.server, until, path)))
	if unprotected(t.server) {
		a.say("%s", a.narration.marked(markWarn, "the connection is not encrypted: whoever listens in can take the token; use https"))
	}
	return nil
}

// loginLasts is how long the token is valid that a login with a one-time code makes.
const loginLasts = 90 * 24 * time.Hour

// exchangeCode turns a one-time code into an API token. The session that the code gives would end
// with the server's process; where its role may make no tokens, it has to do.
func exchangeCode(ctx context.Context, c *api.Client, t loginTarget) (api.Token, error) {
	session, err := c.Login(ctx, t.code)
	if err != nil {
		return api.Token{}, loginRefused(err, "the code is used up, expired or wrong: ask for a new link, `seatrial serve` and `seatrial dev` print one when they start")
	}
	signedIn, err := api.New(t.server, session.Token)
	if err != nil {
		return api.Token{}, err
	}
	made, err := signedIn.CreateToken(ctx, api.NewToken{Name: loginName(), Kind: "api", Role: session.Role, ExpiresIn: loginLasts.String()})
	if exitCode(err) == exitAuth {
		return api.Token{Secret: session.Token, Role: session.Role, ExpiresAt: session.ExpiresAt}, nil
	}
	return made, err
}

// loginName names the token after who uses it, for the change log.
func loginName() string {
	name := "login"
	if u, err := user.Current(); err == nil {
		name += " " + u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name[:min(len(name), 100)]
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
		Long:    "Forget the control plane and the token that login stored. A token that login made is revoked; one that was given to it stays valid.",
		Example: "  seatrial logout",
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := configFile()
		if err != nil {
			return err
		}
		if stored, err := readConnection(configFile); err == nil && stored.TokenID != "" {
			a.revokeLogin(cmd.Context(), stored)
		}
		switch err := os.Remove(path); {
		case errors.Is(err, fs.ErrNotExist):
			a.say("there was no login to forget")
		case err != nil:
			return err
		default:
			a.say("%s", a.narration.marked(markGood, "logged out"))
		}
		return nil
	}
	return cmd
}

// revokeLogin ends the token that login made. A server that is away does not keep anybody from
// forgetting it.
func (a *app) revokeLogin(ctx context.Context, stored connection) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := api.New(stored.Server, stored.Token)
	if err == nil {
		err = c.RevokeToken(ctx, stored.TokenID)
	}
	if err != nil && exitCode(err) != exitAuth {
		a.say("%s", a.narration.marked(markWarn, fmt.Sprintf("token %s could not be revoked and stays valid: %v", stored.TokenID, err)))
	}
}
