// Package config is the agent's settings: which there are, what each may be, and
// where the value in force comes from.
//
// A setting is taken from the first of these that has it:
//
//  1. managed policy: the registry key HKLM\Software\Policies\Tidemark on Windows, the
//     managed preferences of [PreferenceDomain] on macOS, and on Linux
//     /etc/tidemark/policy.d/*.yaml in the order of their names, a later file over an
//     earlier one;
//  2. the environment: TIDEMARK_STATE_DIR for state_dir, and so on;
//  3. the configuration file;
//  4. on Windows what the installation was given: HKLM\Software\Tidemark;
//  5. the default.
//
// Files are YAML, one document of at most 1 MiB, without aliases.
//
// In the environment and the configuration file an unknown setting, a setting given
// twice or a value that breaks its rule is an [Error] that stops the program: whoever
// wrote it is at hand. What policy and installation have reaches thousands of devices
// at once and must stop none of them, so there it is one of Config.Problems, which
// status names, and the default is used: nothing below policy stands in for a value that
// policy has. The exception is what decides whose conversations are captured, because
// its default is everything: while such a value is wrong, or cannot be read, capture is
// held ([Config.Held]). WeChat keeps what is said meanwhile, and it is captured, under
// the value that was meant, when that is put right.
//
// [Keys] has every setting with its rule, default and purpose. Paths are absolute,
// because a service's working folder is nobody's intention. A missing file at the
// default place means that there is none; one named by hand must be there.
package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
)

// PreferenceDomain is the domain of the managed preferences on macOS, and the identifier
// of the agent there.
const PreferenceDomain = "tidemark.agent"

// Error is a setting that cannot be taken.
type Error struct {
	Where string `json:"where"`           // file, environment variable, registry key
	Line  int    `json:"line,omitempty"`  // 0 when not known
	Key   string `json:"key,omitempty"`   // "" when it is the whole place
	Value string `json:"value,omitempty"` // as written, shortened; never a secret's
	Rule  string `json:"rule"`
	Holds bool   `json:"holds,omitempty"` // capture is held while it stands: it may have been meant to narrow the scope
}

func (e *Error) Error() string {
	s := e.Where
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	if e.Value != "" {
		s += fmt.Sprintf(": %q", e.Value)
	}
	return s + ": " + e.Rule
}

// The kinds of places that a value comes from.
const (
	FromDefault      = "default"
	FromInstallation = "installation"
	FromFile         = "file"
	FromEnvironment  = "environment"
	FromPolicy       = "policy"
)

// Setting is a key's value in force.
type Setting struct {
	Key     string `json:"key"`
	Value   any    `json:"value"`             // of a secret only whether it is set
	Origin  string `json:"origin"`            // one of the From constants
	Where   string `json:"where,omitempty"`   // file and line, variable or registry key
	Problem string `json:"problem,omitempty"` // why the value that is there is not used
}

// Options say where to look. The zero value is this machine's.
type Options struct {
	File      string                      // "" means DefaultFile(), which may be missing
	PolicyDir string                      // a folder of policy files instead of this machine's policy and installation
	LookupEnv func(string) (string, bool) // nil means os.LookupEnv
}

// Load reads the settings. It returns them with their origins in the order of Keys.
func Load(o Options) (*Config, []Setting, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	var installed, policy []place
	if o.PolicyDir != "" {
		policy = policyFiles(o.PolicyDir)
	} else {
		installed, policy = installation(), policies()
	}
	l := newLoader()
	if err := l.defaults(); err != nil {
		return nil, nil, err
	}
	l.managed(FromInstallation, installed)
	file, optional := o.File, false
	if file == "" {
		file, optional = DefaultFile(), true
	}
	if err := l.file(file, optional); err != nil {
		return nil, nil, err
	}
	if err := l.environment(o.LookupEnv); err != nil {
		return nil, nil, err
	}
	l.managed(FromPolicy, policy)
	l.config.settings = l.settings()
	return l.config, l.config.Settings(), nil
}

// Settings is every setting with its origin, in the order of Keys, as Load found them.
func (c *Config) Settings() []Setting { return slices.Clone(c.settings) }

// Held says why nothing is captured, although the agent runs: a managed setting that
// decides what is captured is wrong or cannot be read. Empty means that nothing is held.
func (c *Config) Held() []*Error {
	var held []*Error
	for _, p := range c.Problems {
		if p.Holds {
			held = append(held, p)
		}
	}
	return held
}

// Changed lists the keys whose values differ, secrets too, in the order of Keys.
func Changed(a, b *Config) []Key {
	return slices.DeleteFunc(Keys(), func(k Key) bool { return reflect.DeepEqual(k.get(a), k.get(b)) })
}

// Check says whether a setting of that name takes the value, written as in the
// environment or a policy. The error is an *Error.
func Check(name, value string) error {
	i := slices.IndexFunc(Keys(), func(k Key) bool { return k.Name == name })
	l := newLoader()
	if i < 0 {
		return &Error{Where: "check", Key: name, Rule: "no such setting"}
	}
	k := l.keys[i]
	n, err := valueNode(k, value)
	if err == nil {
		err = k.set(l.config, n)
	}
	if err != nil {
		return &Error{Where: "check", Key: name, Value: k.quote(value), Rule: err.Error()}
	}
	return nil
}
