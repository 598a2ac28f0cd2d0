package cli

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

func newToken(a *app) *cobra.Command {
	return group(groupWork, "token", "Keys for services and browsers, API tokens for people and pipelines",
		newTokenList(a), newTokenCreate(a), newTokenRevoke(a))
}

var tokenColumns = []string{"ID", "NAME", "KIND", "ROLE", "ENVIRONMENT", "CREATED", "EXPIRES"}

func newTokenList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List keys and tokens; secrets are not kept anywhere", Example: "  seatrial token list"}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		tokens, err := c.Tokens(cmd.Context())
		if err != nil {
			return err
		}
		t := table{json: tokens, head: tokenColumns, empty: "There are no tokens. Make one: seatrial token create checkout --kind sdk"}
		for _, k := range tokens {
			t.rows = append(t.rows, []cell{text("%s", k.ID), text("%s", k.Name), text("%s", k.Kind), text("%s", k.Role), text("%s", orElse(k.Environment, "all")), ago(k.CreatedAt), expiry(k.ExpiresAt)})
		}
		return a.print(t)
	})
	return cmd
}

func expiry(t time.Time) cell {
	c := ago(t)
	switch {
	case t.IsZero():
		c.shown = "never"
	case time.Until(t) <= 0:
		c.mark, c.shown = markBad, "expired "+c.shown
	case time.Until(t) < 7*24*time.Hour:
		c.mark = markWarn
	}
	return c
}

var (
	tokenKinds = []string{"client", "sdk", "api"}
	tokenRoles = []string{"viewer", "editor", "admin"}
)

func newTokenCreate(a *app) *cobra.Command {
	wanted := api.NewToken{}
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a key or token and print its secret, once", Args: cobra.ExactArgs(1),
		Long: "Create a key or token and print its secret on standard output. The secret cannot be shown again.\n\n" +
			"A client key asks for the values of flags that are for clients (browsers, phones), where nothing is secret. An SDK key reads\n" +
			"flags and sends telemetry; services use it. An API token acts for a person or a pipeline: a viewer reads, an editor also\n" +
			"changes flags, segments and trials, an admin also makes tokens. With --env a key or token is for that environment only.",
		Example: `  seatrial token create checkout --kind sdk
  seatrial token create web --kind client --env production
  SEATRIAL_TOKEN=$(seatrial token create ci --role editor --expires 720h)`,
	}
	flags := cmd.Flags()
	flags.StringVar(&wanted.Kind, "kind", "", "client, sdk or api (default api if --role is given; else required)")
	flags.StringVar(&wanted.Role, "role", "", "of an API token: viewer, editor or admin (default viewer)")
	flags.DurationVar(&expires, "expires", 0, "how long it is valid, such as 720h; 0: for ever")
	completeWords(cmd, "kind", tokenKinds...)
	completeWords(cmd, "role", tokenRoles...)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		wanted.Name = args[0]
		if wanted.Kind == "" && wanted.Role != "" {
			wanted.Kind = "api"
		}
		if err := checkNewToken(wanted, expires); err != nil {
			return err
		}
		if wanted.Environment = a.environment; wanted.Environment != "" {
			there, err := envNames(cmd.Context(), c)
			if err != nil {
				return err
			}
			if !slices.Contains(there, wanted.Environment) {
				return noEnvironment(nil, wanted.Environment, there)
			}
		}
		if expires > 0 {
			wanted.ExpiresIn = expires.String()
		}
		created, err := c.CreateToken(cmd.Context(), wanted)
		if err != nil {
			return err
		}
		a.say("%s", a.narration.marked(markGood, fmt.Sprintf("%s token %s (%s) created; this is the only time its secret is shown", created.Kind, created.Name, created.ID)))
		if a.format() == formatJSON {
			return a.printJSON(created)
		}
		_, err = fmt.Fprintln(a.out, created.Secret)
		return err
	})
	return cmd
}

func checkNewToken(t api.NewToken, expires time.Duration) error {
	if t.Kind == "" {
		return usage(errors.New("what kind? --kind sdk for a service, client for a browser; --role viewer, editor or admin for a person or a pipeline"))
	}
	if err := oneOf("kind", t.Kind, tokenKinds...); err != nil {
		return err
	}
	if t.Kind != "api" && t.Role != "" {
		return usage(fmt.Errorf("--role %s: keys have no role, leave it out", t.Role))
	}
	if t.Role != "" {
		if err := oneOf("role", t.Role, tokenRoles...); err != nil {
			return err
		}
	}
	if expires != 0 && expires < time.Minute {
		return usage(fmt.Errorf("--expires %s: at least 1m, or 0 for ever", expires))
	}
	return nil
}

func newTokenRevoke(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End a key or token at once", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(tokenNames),
		Example: "  seatrial token revoke 3f9a1c",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if err := c.RevokeToken(cmd.Context(), args[0]); err != nil {
			return orSuggest(err, "token", args[0], known(cmd.Context(), c, tokenNames))
		}
		return a.wrote(writing{}, nil, "token %s revoked", args[0])
	})
	return cmd
}
