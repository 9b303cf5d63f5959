package template

import (
	"crypto/sha1"
	"fmt"
	"strings"

	"tidemark/agent/config"
	"tidemark/installer"
)

// The profiles of macOS. Their payloads are those of Apple's "Device Management"
// documentation: managed preferences of our own domain, com.apple.TCC.configuration-profile-policy
// and com.apple.servicemanagement. They are checked by structure and have not been
// installed on a real Mac.

// teamID stands for the identifier of whoever signs the package; a profile must name it.
const teamID = "TEAMID"

// uuid is made from a payload's identifier, as RFC 9562 says for version 5: a profile
// that is made anew replaces itself.
func uuid(identifier string) string {
	// The namespace of ISO object identifiers, from the RFC.
	space := []byte{0x6b, 0xa7, 0xb8, 0x12, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(space, identifier...))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
}

// profile writes a profile for the whole device around its payloads.
func profile(name, identifier, description string, payloads func(w *writer)) []byte {
	w := new(writer)
	w.line(`<?xml version="1.0" encoding="UTF-8"?>`)
	w.line(`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">`)
	w.line(`<plist version="1.0">`)
	w.line(`<dict>`)
	header(w, "\t", "Configuration", identifier, name)
	w.line("\t<key>PayloadDescription</key>\n\t<string>%s</string>", description)
	w.line("\t<key>PayloadScope</key>\n\t<string>System</string>")
	w.line("\t<key>PayloadContent</key>\n\t<array>")
	payloads(w)
	w.line("\t</array>")
	w.line(`</dict>`)
	w.line(`</plist>`)
	return w.Bytes()
}

// header is what every payload begins with.
func header(w *writer, indent, kind, identifier, name string) {
	for _, f := range [][2]string{{"PayloadType", kind}, {"PayloadIdentifier", identifier}, {"PayloadUUID", uuid(identifier)}, {"PayloadDisplayName", name}} {
		w.line(indent+"<key>%s</key>\n"+indent+"<string>%s</string>", f[0], f[1])
	}
	w.line(indent + "<key>PayloadVersion</key>\n" + indent + "<integer>1</integer>")
}

// settingsProfile has every setting in a comment with its default.
func settingsProfile() []byte {
	const identifier = config.PreferenceDomain + ".profile.settings"
	return profile("Tidemark settings", identifier, "Settings of Tidemark, which records business WeChat conversations for the organisation.", func(w *writer) {
		w.line("\t\t<dict>")
		header(w, "\t\t\t", config.PreferenceDomain, identifier+".preferences", "Tidemark")
		w.line("\n\t\t\t<!-- Take the comment marks away around what you set. -->")
		for _, k := range config.Keys() {
			w.line("\n\t\t\t<!-- %s: %s.", k.Name, k.Doc)
			w.line("\t\t\t     %s。", k.DocZH)
			w.line("\t\t\t     %s; default: %s", k.Form(), or(k.DefaultOn("darwin"), "none"))
			w.line("\t\t\t<key>%s</key>", k.Name)
			fmt.Fprintf(w, "\t\t\t%s -->\n", profileValue(k))
		}
		w.line("\t\t</dict>")
	})
}

// profileValue is a value of the key's type, the default where there is one.
func profileValue(k config.Key) string {
	switch k.Type {
	case config.Bool:
		return "<" + k.Default + "/>"
	case config.List:
		if k.Default == "[]" {
			return "<array>\n\t\t\t\t<string></string>\n\t\t\t</array>"
		}
		return "<array>\n\t\t\t\t<string>" + escape(strings.Trim(k.Default, `[]"`)) + "</string>\n\t\t\t</array>"
	case config.KeySources:
		return "<array>\n\t\t\t\t<dict>\n\t\t\t\t\t<key>source</key>\n\t\t\t\t\t<string>archive</string>\n\t\t\t\t</dict>\n\t\t\t</array>"
	}
	return "<string>" + escape(k.DefaultOn("darwin")) + "</string>"
}

// permissionsProfile lets the agent read the folders of all users, and keeps users from
// being asked whether it may run in the background.
func permissionsProfile() []byte {
	const identifier = config.PreferenceDomain + ".profile.permissions"
	requirement := `identifier "` + installer.MacPackage + `" and anchor apple generic and certificate leaf[subject.OU] = "` + teamID + `"`
	return profile("Tidemark permissions", identifier, "Lets Tidemark read WeChat's folders (full disk access) and run in the background.", func(w *writer) {
		w.line("\t\t<!-- Replace %s, in both payloads, by the team identifier that the package is signed with.", teamID)
		w.line("\t\t     codesign -d -r- %s prints the requirement that must stand here. -->", installer.MacProgram)
		w.line("\t\t<dict>")
		header(w, "\t\t\t", "com.apple.TCC.configuration-profile-policy", identifier+".privacy", "Tidemark: full disk access")
		w.line("\t\t\t<key>Services</key>\n\t\t\t<dict>\n\t\t\t\t<key>SystemPolicyAllFiles</key>\n\t\t\t\t<array>\n\t\t\t\t\t<dict>")
		for _, f := range [][2]string{{"Identifier", installer.MacProgram}, {"IdentifierType", "path"}, {"CodeRequirement", requirement},
			{"Comment", "Reads the business WeChat conversations that the organisation records"}} {
			w.line("\t\t\t\t\t\t<key>%s</key>\n\t\t\t\t\t\t<string>%s</string>", f[0], f[1])
		}
		w.line("\t\t\t\t\t\t<key>StaticCode</key>\n\t\t\t\t\t\t<false/>\n\t\t\t\t\t\t<key>Allowed</key>\n\t\t\t\t\t\t<true/>")
		w.line("\t\t\t\t\t</dict>\n\t\t\t\t</array>\n\t\t\t</dict>\n\t\t</dict>")
		w.line("\t\t<dict>")
		header(w, "\t\t\t", "com.apple.servicemanagement", identifier+".background", "Tidemark: background item")
		w.line("\t\t\t<key>Rules</key>\n\t\t\t<array>\n\t\t\t\t<dict>")
		for _, f := range [][2]string{{"RuleType", "Label"}, {"RuleValue", installer.Name}, {"TeamIdentifier", teamID}, {"Comment", "The launch daemon of Tidemark"}} {
			w.line("\t\t\t\t\t<key>%s</key>\n\t\t\t\t\t<string>%s</string>", f[0], f[1])
		}
		w.line("\t\t\t\t</dict>\n\t\t\t</array>\n\t\t</dict>")
	})
}
