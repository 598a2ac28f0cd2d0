package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/internal/core/flag"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// beStrict makes every mistake on the command line a usage error with a suggestion: a noun or
// verb that does not exist, a flag that does not exist, a wrong number of arguments.
func beStrict(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return usage(fmt.Errorf("%w%s", err, suggestFlag(c, err)))
	})
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return usage(fmt.Errorf("%s has no command %q%s", c.CommandPath(), args[0], suggestCommand(c, args[0])))
		}
	} else if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	check := cmd.Args
	cmd.Args = func(c *cobra.Command, args []string) error {
		if check(c, args) == nil {
			return nil
		}
		wanted := strings.TrimSuffix(c.UseLine(), " [flags]")
		if len(args) == 0 {
			return usage(fmt.Errorf("something is missing: write it as %q", wanted))
		}
		return usage(fmt.Errorf("%q does not fit: write it as %q", args, wanted))
	}
	for _, sub := range cmd.Commands() {
		beStrict(sub)
	}
}

func suggestCommand(c *cobra.Command, typed string) string {
	return flag.Suggest(typed, func(yield func(string) bool) {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && !yield(sub.Name()) {
				return
			}
		}
	})
}

func suggestFlag(c *cobra.Command, err error) string {
	_, typed, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	var names []string
	collect := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	c.Flags().VisitAll(collect)
	c.InheritedFlags().VisitAll(collect)
	return strings.Replace(flag.Suggest(typed, slices.Values(names)), `"`, `"--`, 1)
}

// group makes a noun: a command that only holds verbs.
func group(id, use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, GroupID: id}
	c.AddCommand(verbs...)
	return c
}

// positive is a duration flag that refuses 0 and less: there a plan would mean its default, which is
// not what somebody who writes 0 wants.
type positive time.Duration

var _ pflag.Value = (*positive)(nil)

// positiveVar defines such a flag. A default of 0 is not shown.
func positiveVar(flags *pflag.FlagSet, d *time.Duration, name string, value time.Duration, use string) {
	*d = value
	flags.Var((*positive)(d), name, use)
}

func (p *positive) String() string {
	if *p == 0 {
		return ""
	}
	return time.Duration(*p).String()
}

func (p *positive) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("write a time of more than 0, such as 90s or 30m")
	}
	*p = positive(d)
	return nil
}

func (*positive) Type() string { return "duration" }
