package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Promise: the rules for Intune ask for what its discovery script tells, and the playbook
// is one. (Neither PowerShell nor Ansible is run here.)
func TestDeployScripts(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile("../../docs/deploy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var rules struct {
		Rules []struct {
			SettingName, Operator, DataType, MoreInfoUrl string
			Operand                                      any
			RemediationStrings                           []struct{ Language, Title, Description string }
		}
	}
	if err := json.Unmarshal(read("intune-compliance.json"), &rules); err != nil || len(rules.Rules) == 0 {
		t.Fatalf("%+v, %v", rules, err)
	}
	script := string(read("intune-compliance.ps1"))
	for _, r := range rules.Rules {
		if !strings.Contains(script, r.SettingName+" = ") || r.Operator == "" || r.DataType == "" || r.Operand == nil || len(r.RemediationStrings) != 2 {
			t.Errorf("%+v", r)
		}
	}
	for _, member := range []string{".overall", ".version", ".reasons[0].id"} {
		if !strings.Contains(script, "$status"+member) {
			t.Errorf("the script does not use %s", member)
		}
	}
	var plays []struct {
		Hosts string
		Tasks []map[string]any
	}
	if err := yaml.Unmarshal(read("ansible-health.yml"), &plays); err != nil || len(plays) != 1 || len(plays[0].Tasks) != 3 {
		t.Errorf("%+v, %v", plays, err)
	}
}
