package collector_test

import (
	"testing"

	"tidemark/collector"
)

// What a pattern means: usernames, kinds and labels, exclusion over inclusion.
func TestRule(t *testing.T) {
	rule := func(include, exclude []string) collector.Rule {
		return collector.Rule{Include: include, Exclude: exclude}
	}
	list := func(s ...string) []string { return s }
	for name, c := range map[string]struct {
		rule     collector.Rule
		username string
		labels   []string
		want     bool
	}{
		"nothing said":            {rule(nil, nil), "wxid_a", nil, true},
		"everything":              {rule(list("*"), nil), "1@chatroom", nil, true},
		"one username":            {rule(list("wxid_a"), nil), "wxid_b", nil, false},
		"a pattern":               {rule(list("*@openim"), nil), "25@openim", nil, true},
		"? is one character":      {rule(list("wxid_?"), nil), "wxid_ab", nil, false},
		"a kind":                  {rule(list("kind:wecom"), nil), "25@openim", nil, true},
		"another kind":            {rule(list("kind:room"), nil), "wxid_a", nil, false},
		"excluded wins":           {rule(list("*"), list("wxid_a")), "wxid_a", nil, false},
		"a kind excluded":         {rule(nil, list("kind:official")), "gh_x", nil, false},
		"a label":                 {rule(list("label:VIP"), nil), "wxid_a", list("client", "VIP"), true},
		"a label of somebody":     {rule(list("label:VIP"), nil), "wxid_a", list("client"), false},
		"a label is no username":  {rule(list("label:wxid_a"), nil), "wxid_a", nil, false},
		"a label excluded":        {rule(list("*"), list("label:family")), "wxid_a", list("family"), false},
		"a pattern of labels":     {rule(nil, list("label:priv*")), "wxid_a", list("private"), false},
		"unresolved has no kind":  {rule(list("kind:direct"), nil), "hash:00", nil, false},
		"unresolved is a name":    {rule(list("*"), nil), "hash:00", nil, true},
		"labels matter only here": {rule(list("wxid_*"), nil), "wxid_a", list("family"), true},
	} {
		if got := c.rule.In(c.username, c.labels...); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A mistyped scope is refused before anything is captured by it.
func TestScopeValidate(t *testing.T) {
	conversations := func(p string) collector.Scope {
		return collector.Scope{Conversations: collector.Rule{Exclude: []string{p}}}
	}
	accounts := func(p string) collector.Scope { return collector.Scope{Accounts: collector.Rule{Include: []string{p}}} }
	for _, s := range []collector.Scope{conversations("kind:rooms"), conversations(""), conversations("label:"), conversations("wxid_["), accounts("kind:room"), accounts("label:x")} {
		if s.Validate() == nil {
			t.Errorf("%s is taken", s)
		}
	}
	for _, s := range []collector.Scope{{}, conversations("label:家人"), conversations("kind:wecom"), accounts("wxid_*")} {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
}
