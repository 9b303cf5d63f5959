package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/collector/simtest"
	"tidemark/installer/msi"
)

const uninstallKey = `HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall`

// msi makes the package of a version on the Windows machine and returns its path there.
func (w *windows) msi(version string) string {
	w.t.Helper()
	exe := w.path("tidemark-" + version + ".exe")
	w.program(version, exe)
	path := `C:\tidemark-` + version + `.msi`
	if err := msi.Build(msi.Options{Version: version, Arch: "amd64", Program: exe, Date: time.Now()}, w.here(path)); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// installer runs Windows Installer, silently.
func (w *windows) installer(args ...string) {
	w.t.Helper()
	if out, stderr, code := w.call("msiexec", append(args, "/qn")...); code != 0 {
		w.t.Fatalf("msiexec %s: exit %d\n%s%s", strings.Join(args, " "), code, out, stderr)
	}
}

func (w *windows) registry(args ...string) string {
	w.t.Helper()
	out, _, _ := w.call("reg", args...)
	return out
}

// running asks the installed service which version it is and of which device.
func (w *windows) running(version string) (device string) {
	w.t.Helper()
	out, stderr, _ := w.call(windowsProgram, "status", "--json")
	var s struct {
		Running         bool
		Version, Device string
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || !s.Running || s.Version != version {
		w.t.Fatalf("not running as %s: %v\n%s%s", version, err, out, stderr)
	}
	return s.Device
}

// The package is installed silently, with the archive in its properties, a token in a
// file and the keys in policy: the service runs, enrols by itself and captures. An upgrade
// keeps settings, identity and spool and leaves one entry in the list of programs; a repair
// puts the program back; removal keeps the state, and deletes it when it is told to.
func TestWindowsPackage(t *testing.T) {
	w := newWindows(t)
	const data, folder, account = `C:\ProgramData\Tidemark`, `C:\微信`, "wxid_tide"
	w.gone(data, folder, `C:\Program Files\Tidemark`, `C:\聊天`, `C:\WeChatData`)
	w.registry("delete", `HKLM\Software\Tidemark`, "/f")
	w.registry("add", `HKLM\Software\Policies\Tidemark\keys`, "/v", "1", "/d", `{source: file, path: 'C:\微信\keys.json'}`, "/f")
	w.put(`C:\users\root\AppData\Roaming\Tencent\xwechat\config\d1.ini`, folder)
	client := w.client(simtest.V4, folder)
	client.Make(40, 4)
	chat := func(n string) { client.Chat("--rate", "50", "--checkpoint-after", "2s", "--count", n).Wait() }
	token := func() { w.put(data+`\enroll.token`, w.must("tidemark-archive", "token")) }
	properties := []string{"ARCHIVE_URL=http://" + w.addr, "ARCHIVE_KEY=" + w.key}
	first, second := w.msi("1.0.0"), w.msi("1.1.0")

	token()
	w.installer(append([]string{"/i", first}, properties...)...)
	w.archived(account, 40)
	device := w.running("1.0.0")
	if _, err := os.Stat(w.here(data + `\enroll.token`)); err == nil {
		t.Error("the token is still there")
	}
	if list := w.registry("query", uninstallKey, "/s"); !strings.Contains(list, "REG_SZ    Tidemark") {
		t.Errorf("the list of programs has no Tidemark: %s", list)
	}

	w.installer("/i", second)
	if now := w.running("1.1.0"); now != device {
		t.Errorf("device %s became %s", device, now)
	}
	chat("30")
	w.archived(account, 70)
	if settings := w.registry("query", `HKLM\Software\Tidemark`); !strings.Contains(settings, w.addr) || !strings.Contains(settings, w.key) {
		t.Errorf("settings after the upgrade: %s", settings)
	}
	if list := w.registry("query", uninstallKey, "/s"); !strings.Contains(list, "REG_SZ    1.1.0") || strings.Contains(list, "REG_SZ    1.0.0") {
		t.Errorf("the list of programs: %s", list)
	}

	w.tidemark("service", "stop")
	if err := os.Remove(w.here(windowsProgram)); err != nil {
		t.Fatal(err)
	}
	w.installer("/i", second, "REINSTALL=ALL", "REINSTALLMODE=amus") // what /fa means, which Wine does not take
	if settings := w.registry("query", `HKLM\Software\Tidemark`); !strings.Contains(settings, w.addr) {
		t.Errorf("settings after the repair: %s", settings)
	}
	if w.running("1.1.0") != device {
		t.Error("another device after the repair")
	}

	w.installer("/x", second)
	if _, err := os.Stat(w.here(windowsProgram)); err == nil {
		t.Error("the program is still there")
	}
	if out := w.registry("query", `HKLM\System\CurrentControlSet\Services\tidemark`, "/v", "ImagePath"); strings.Contains(out, "tidemark.exe") {
		t.Errorf("the service is still there: %s", out)
	}
	if _, err := os.Stat(filepath.Join(w.here(data), "state", "identity.json")); err != nil {
		t.Errorf("removal did not keep the state: %v", err)
	}
	chat("30")

	w.installer(append([]string{"/i", second}, properties...)...)
	w.archived(account, 100)
	if w.running("1.1.0") != device {
		t.Error("another device after installing again")
	}
	w.tidemark("service", "stop")
	w.tidemark("once")
	w.matches(client, account)
	w.installer("/x", second, "PURGE=1")
	if _, err := os.Stat(w.here(data)); err == nil {
		t.Error("the state is still there")
	}
	w.verify()
}
