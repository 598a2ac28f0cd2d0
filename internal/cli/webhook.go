package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/internal/cli/api"
	"github.com/spf13/cobra"
)

func newWebhook(a *app) *cobra.Command {
	return group(groupWork, "webhook", "Tell chats and pipelines what happens to trials",
		newWebhookList(a), newWebhookGet(a), newWebhookCreate(a), newWebhookSet(a), newWebhookRotate(a), newWebhookTest(a), newWebhookDelete(a))
}

func webhookNames(ctx context.Context, c *api.Client) ([]string, error) {
	list, err := c.Webhooks(ctx)
	return namesOf(list, func(w api.Webhook) string { return w.Name }), err
}

var webhookColumns = []string{"NAME", "STATE", "FORMAT", "EVENTS", "TRIALS", "DELIVERED", "PENDING", "SKIPPED", "URL"}

func newWebhookList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List webhooks and how their deliveries go", Args: cobra.NoArgs, Example: "  seatrial webhook list"}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, _ []string, c *api.Client) error {
		list, err := c.Webhooks(cmd.Context())
		if err != nil {
			return err
		}
		t := table{json: list, head: webhookColumns, empty: "There are no webhooks. Make one: seatrial webhook create chat --url URL --format slack"}
		for _, w := range list {
			t.rows = append(t.rows, []cell{text("%s", w.Name), webhookState(w), text("%s", w.Format), text("%s", orElse(strings.Join(w.Events, ","), "all")),
				text("%s", webhookTrials(w)), text("%d", w.Status.Delivered), text("%d", w.Status.Pending), text("%d", w.Status.Skipped), text("%s", w.URL)})
		}
		return a.print(t)
	})
	return cmd
}

func webhookState(w api.Webhook) cell {
	switch {
	case !w.Enabled:
		return marked(markQuiet, "disabled")
	case w.Status.Attempts > 0:
		return marked(markBad, "failing")
	case w.Status.Pending > 0:
		return marked(markPaused, "delivering")
	}
	return marked(markGood, "idle")
}

func webhookTrials(w api.Webhook) string {
	pattern := orElse(w.Trials, "all")
	if w.Goal != "" {
		pattern += " (" + w.Goal + ")"
	}
	return pattern
}

func webhookDetails(w api.Webhook) details {
	s := w.Status
	rows := []detail{
		{"name", text("%s", w.Name)}, {"state", webhookState(w)}, {"url", text("%s", w.URL)}, {"format", text("%s", w.Format)},
		{"events", text("%s", orElse(strings.Join(w.Events, ","), "all"))}, {"trials", text("%s", webhookTrials(w))},
		{"delivered", text("%d", s.Delivered)}, {"pending", text("%d", s.Pending)}, {"skipped", text("%d", s.Skipped)},
		{"last success", ago(s.LastSuccessAt)}, {"last error", text("%s", s.LastError)}, {"last error at", ago(s.LastErrorAt)},
		{"attempts", text("%d", s.Attempts)}, {"failing since", ago(s.FailingSince)}, {"next attempt", ago(s.NextAttemptAt)},
	}
	skipped := cell{}
	if s.LastSkipped != nil {
		skipped = text("%s: %s", s.LastSkipped.ID, s.LastSkipped.Why)
	}
	rows = append(rows, detail{"last skipped", skipped}, detail{"old secret until", ago(w.OldSecretUntil)}, detail{"created", ago(w.CreatedAt)})
	return details{json: w, rows: rows}
}

func newWebhookGet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Show a webhook: the last success, the last error, what is pending", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(webhookNames), Example: "  seatrial webhook get chat",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		w, _, err := c.Webhook(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "webhook", args[0], known(cmd.Context(), c, webhookNames))
		}
		return a.printDetails(webhookDetails(w))
	})
	return cmd
}

var (
	webhookFormats = []string{"json", "slack"}
	webhookEvents  = []string{"start", "step", "hold", "resume", "approve", "alarm", "promote", "demote", "end", "change"}
	webhookGoals   = []string{"promote", "survive", "calibrate"}
)

// withWebhook adds the flags that say what a webhook is.
func withWebhook(cmd *cobra.Command, w *api.NewWebhook) {
	flags := cmd.Flags()
	flags.StringVar(&w.URL, "url", "", "where to send events with POST; http or https")
	flags.StringVar(&w.Format, "format", "", "json for programs, slack for Slack, Mattermost, Rocket.Chat (default json)")
	flags.StringSliceVar(&w.Events, "events", nil, "only these: "+strings.Join(webhookEvents, ", "))
	flags.StringVar(&w.Goal, "goal", "", "only trials of this goal: promote, survive or calibrate")
	flags.StringVar(&w.Trials, "trials", "", "only trials whose name fits, such as 'checkout-*'")
	completeWords(cmd, "format", webhookFormats...)
	completeWords(cmd, "events", webhookEvents...)
	completeWords(cmd, "goal", webhookGoals...)
}

func checkWebhook(w api.NewWebhook) error {
	if w.Format != "" {
		if err := oneOf("format", w.Format, webhookFormats...); err != nil {
			return err
		}
	}
	if w.Goal != "" {
		if err := oneOf("goal", w.Goal, webhookGoals...); err != nil {
			return err
		}
	}
	for _, event := range w.Events {
		if err := oneOf("event", event, webhookEvents...); err != nil {
			return err
		}
	}
	return nil
}

func newWebhookCreate(a *app) *cobra.Command {
	var w writing
	wanted := api.NewWebhook{Enabled: true}
	cmd := &cobra.Command{
		Use: "create NAME --url URL", Short: "Create a webhook and print its secret, once", Args: cobra.ExactArgs(1),
		Long: "Create a webhook, which is told of trials from now on, and print its secret on standard output. The secret cannot be shown\n" +
			"again. Receivers check with it that a request is from here (Standard Webhooks); chats need not.\n\n" +
			"The server calls addresses of the internet only; its operator can allow others (serve --webhook-allow).",
		Example: `  seatrial webhook create chat --url https://hooks.slack.com/services/T0/B0/x --format slack --events hold,end
  seatrial webhook create ci --url https://ci.example.com/seatrial --trials 'checkout-*' > secret`,
	}
	withWebhook(cmd, &wanted)
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		wanted.Name = args[0]
		if wanted.URL == "" {
			return usage(errors.New("where to? --url https://hooks.example.com/seatrial"))
		}
		if err := checkWebhook(wanted); err != nil {
			return err
		}
		made, err := c.CreateWebhook(cmd.Context(), wanted, w.to(""))
		switch {
		case err != nil:
			return err
		case w.dryRun:
			return a.wrote(w, made, "webhook %s created", made.Name)
		}
		return a.gaveSecret(made, "webhook %s created; try it: seatrial webhook test %s", made.Name, made.Name)
	})
	return cmd
}

// gaveSecret prints a new secret, the only time that it is shown.
func (a *app) gaveSecret(w api.Webhook, format string, args ...any) error {
	a.say("%s", a.narration.marked(markGood, fmt.Sprintf(format, args...)))
	a.say("This is the only time that its secret is shown.")
	if a.format() == formatJSON {
		return a.printJSON(w)
	}
	_, err := fmt.Fprintln(a.out, w.Secret)
	return err
}

func newWebhookSet(a *app) *cobra.Command {
	var w writing
	var enable, disable bool
	wanted := api.NewWebhook{}
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a webhook; what is not named stays", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(webhookNames),
		Long: "Change a webhook; what is not named stays. '' takes a filter away. One that is enabled again is not told of what happened meanwhile.",
		Example: `  seatrial webhook set chat --disable
  seatrial webhook set chat --events '' --url https://hooks.slack.com/services/T0/B0/y`,
	}
	withWebhook(cmd, &wanted)
	cmd.Flags().BoolVar(&enable, "enable", false, "send again, from now on")
	cmd.Flags().BoolVar(&disable, "disable", false, "send nothing")
	w.withDryRun(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		if enable && disable {
			return usage(errors.New("--enable and --disable contradict each other: choose one"))
		}
		if err := checkWebhook(wanted); err != nil {
			return err
		}
		now, etag, err := c.Webhook(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "webhook", args[0], known(cmd.Context(), c, webhookNames))
		}
		next := api.NewWebhook{Name: now.Name, URL: wanted.URL, Format: now.Format, Events: now.Events, Goal: now.Goal, Trials: now.Trials,
			Enabled: (now.Enabled || enable) && !disable}
		for name, change := range map[string]func(){
			"format": func() { next.Format = wanted.Format }, "events": func() { next.Events = wanted.Events },
			"goal": func() { next.Goal = wanted.Goal }, "trials": func() { next.Trials = wanted.Trials },
		} {
			if cmd.Flags().Changed(name) {
				change()
			}
		}
		changed, err := c.PutWebhook(cmd.Context(), args[0], next, w.to(etag))
		if err != nil {
			return err
		}
		return a.wrote(w, changed, "webhook %s changed", args[0])
	})
	return cmd
}

func newWebhookRotate(a *app) *cobra.Command {
	var w writing
	var leaked bool
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a webhook a new secret and print it, once", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(webhookNames),
		Long: "Give a webhook a new secret and print it on standard output. Requests are signed with the old one, too, for 24 hours, so that the\n" +
			"receiver can change over; with --leaked it ends at once.",
		Example: "  seatrial webhook rotate ci > secret\n  seatrial webhook rotate ci --leaked",
	}
	cmd.Flags().BoolVar(&leaked, "leaked", false, "end the old secret at once")
	w.withReason(cmd)
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		changed, err := c.RotateWebhook(cmd.Context(), args[0], leaked, w.to(""))
		if err != nil {
			return orSuggest(err, "webhook", args[0], known(cmd.Context(), c, webhookNames))
		}
		return a.gaveSecret(changed, "webhook %s has a new secret", args[0])
	})
	return cmd
}

func newWebhookTest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Send a test to a webhook and print what the receiver says", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(webhookNames), Example: "  seatrial webhook test chat",
		Long: "Send a test to a webhook, also to a disabled one, and print what the receiver says. Exits with 1 if it was not taken.",
	}
	cmd.RunE = a.onServer(func(cmd *cobra.Command, args []string, c *api.Client) error {
		answer, err := c.TestWebhook(cmd.Context(), args[0])
		if err != nil {
			return orSuggest(err, "webhook", args[0], known(cmd.Context(), c, webhookNames))
		}
		if err := a.printDetails(answerDetails(answer)); err != nil {
			return err
		}
		if !answer.Delivered {
			return fmt.Errorf("webhook %s did not take the test: %s", args[0], answer.Error)
		}
		a.say("%s", a.narration.marked(markGood, "delivered"))
		return nil
	})
	return cmd
}

func answerDetails(answer api.WebhookAnswer) details {
	delivered := marked(markGood, "yes")
	if !answer.Delivered {
		delivered = marked(markBad, "no")
	}
	return details{json: answer, rows: []detail{{"delivered", delivered}, {"status", text("%d", answer.Status)}, {"answer", text("%s", answer.Body)},
		{"error", text("%s", answer.Error)}, {"took ms", text("%.1f", answer.TookMs)}, {"webhook-id", text("%s", answer.ID)}}}
}

func newWebhookDelete(a *app) *cobra.Command {
	return newDelete(a, deletion{noun: "webhook", short: "Delete a webhook; what it was not told yet, it is told no more",
		example: "  seatrial webhook delete chat", names: webhookNames, remove: (*api.Client).DeleteWebhook,
		etag: func(ctx context.Context, c *api.Client, name string) (string, error) {
			_, etag, err := c.Webhook(ctx, name)
			return etag, err
		}})
}
