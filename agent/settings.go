package agent

import (
	"context"
	"errors"
	"strings"

	"tidemark/agent/config"
)

// errHeld reports that nothing is captured because it cannot be told what should be.
var errHeld = errors.New("capture is held: managed settings that decide what is captured cannot be taken")

// capture runs the source, unless capture is held. Nothing is read then, so no
// conversation is passed over: when the settings are put right, what WeChat has kept
// meanwhile is captured under them.
func (p *pipeline) capture(ctx context.Context) error {
	if held := p.config.Held(); len(held) > 0 {
		p.log.Error("capture is held", "err", problemsText(held))
		<-ctx.Done()
		return ctx.Err()
	}
	return p.source.Run(ctx)
}

// captureOnce makes one pass, unless capture is held.
func (p *pipeline) captureOnce(ctx context.Context) error {
	if held := p.config.Held(); len(held) > 0 {
		return errors.Join(errHeld, errors.New(problemsText(held)))
	}
	return p.source.Once(ctx)
}

func problemsText(problems []*config.Error) string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Error())
	}
	return strings.Join(out, "; ")
}

// judgeSettings says what managed settings cannot be taken.
func (s *Status) judgeSettings(c *config.Config) {
	for _, p := range c.Problems {
		r := Reason{Health: Degraded, What: "a managed setting cannot be taken: " + p.Error(), Do: "put it right in the policy; tidemark config shows what is in force"}
		if p.Holds {
			r.Health, r.What = Blind, "capture is held, because a managed setting that decides what is captured cannot be taken: "+p.Error()
		}
		s.reason(r)
	}
}
