package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/collector/simtest"
)

// The tests of files named windows run the Windows program under Wine, with the archive
// and the simulated clients on this side. make test-windows sets Wine up and says where
// its wrapper and its folder are; elsewhere they are skipped.

// windows is a Windows machine, to which an archive on this one belongs.
type windows struct {
	*site
	wine  string // installer/windows/wine.sh
	drive string // what C: is on this side
}

const windowsProgram = `C:\Program Files\Tidemark\tidemark.exe`

func newWindows(t *testing.T) *windows {
	t.Helper()
	wine, prefix := os.Getenv("TIDEMARK_WINE_RUN"), os.Getenv("WINEPREFIX")
	if wine == "" || prefix == "" {
		t.Skip("it needs Wine 10: make test-windows installs it and runs this")
	}
	w := &windows{site: newSite(t), wine: wine, drive: filepath.Join(prefix, "drive_c")}
	w.serve()
	return w
}

// here is where a path of Windows is on this side.
func (w *windows) here(path string) string {
	return filepath.Join(w.drive, filepath.FromSlash(strings.ReplaceAll(strings.TrimPrefix(path, `C:\`), `\`, "/")))
}

// put writes a file on the Windows machine.
func (w *windows) put(path, content string) {
	w.t.Helper()
	file := w.here(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// gone removes what an earlier test has left there.
func (w *windows) gone(paths ...string) {
	w.t.Helper()
	for _, path := range paths {
		if err := os.RemoveAll(w.here(path)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// program builds tidemark.exe as it is released.
func (w *windows) program(version, file string) {
	w.t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", file, "tidemark/cmd/tidemark")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=windows")
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("build tidemark.exe: %v\n%s", err, out)
	}
}

// call runs a Windows program to its end.
func (w *windows) call(program string, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.Command(w.wine, append([]string{program}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	// Services that Wine starts inherit the pipes and outlive the program.
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		w.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// tidemark runs the Windows program and demands that it ends well.
func (w *windows) tidemark(args ...string) string {
	w.t.Helper()
	out, stderr, code := w.call(windowsProgram, args...)
	if code != 0 {
		w.t.Fatalf("tidemark.exe %s: exit %d\n%s%s", strings.Join(args, " "), code, out, stderr)
	}
	return out
}

// client is a simulated client whose account is below a folder of the Windows machine.
func (w *windows) client(g simtest.Generation, folder string) *simtest.World {
	w.t.Helper()
	world := simtest.NewOf(w.t, g)
	if err := os.MkdirAll(w.here(folder), 0o700); err != nil {
		w.t.Fatal(err)
	}
	world.Use(w.here(folder))
	return world
}

// matches holds what the archive has of an account against a client's oracle.
func (w *windows) matches(world *simtest.World, account string) {
	w.t.Helper()
	file := w.path("records-" + account)
	if err := os.WriteFile(file, []byte(w.must("tidemark-archive", "records", "--account", account)), 0o600); err != nil {
		w.t.Fatal(err)
	}
	f := world.Compare(file, "--grace", "1m")
	if !f.OK {
		w.t.Errorf("%s: archive and oracle differ:\n%s", account, f.Report)
		return
	}
	w.t.Log(account, strings.TrimSpace(f.Report))
}

// archived waits until the archive has at least so many messages of an account.
func (w *windows) archived(account string, n int) {
	w.t.Helper()
	w.wait(fmt.Sprintf("%d messages of %s are archived", n, account), func() bool {
		time.Sleep(200 * time.Millisecond)
		return strings.Count(w.must("tidemark-archive", "records", "--kind", "message", "--account", account), "\n") >= n
	}, w.archive)
}

const windowsConfig = `archive: {url: "http://%s", key: %s}
keys:
  - {source: file, path: 'C:\聊天\keys.json'}
  - {source: file, path: 'C:\WeChatData\keys.json'}
`

// The service of Windows, installed by the program itself, captures a 4.x account and a
// 3.x one in the folders that WeChat's own settings name, live and to the archive exactly
// as the clients wrote them. Its device key is DPAPI's, its pipe answers status, it stops
// in good order, goes on where it was, and leaves its state when it is removed.
func TestWindowsService(t *testing.T) {
	w := newWindows(t)
	const state = `C:\ProgramData\Tidemark`
	w.gone(state, `C:\聊天`, `C:\WeChatData`)
	w.program("1.0.0", w.here(windowsProgram))
	four, three := w.client(simtest.V4, `C:\聊天`), w.client(simtest.W3, `C:\WeChatData`)
	w.put(`C:\users\root\AppData\Roaming\Tencent\xwechat\config\d1.ini`, `C:\聊天`)
	if _, e, code := w.call("reg", "add", `HKCU\Software\Tencent\WeChat`, "/v", "FileSavePath", "/d", `C:\WeChatData`, "/f"); code != 0 {
		t.Fatal(e)
	}
	w.put(state+`\tidemark.yaml`, fmt.Sprintf(windowsConfig, w.addr, w.key))
	chat := []string{"--rate", "50", "--checkpoint-after", "2s", "--recall", "0.04", "--recall-after", "3s"}
	other := append([]string{"--account", "wxid_three"}, chat...)
	four.Make(40, 4)
	three.Make(40, 4, "--account", "wxid_three")

	w.put(`C:\token`, w.must("tidemark-archive", "token"))
	w.tidemark("enroll", "--url", "http://"+w.addr, "--key", w.key, "--token-file", `C:\token`)
	if data, err := os.ReadFile(w.here(state + `\state\identity.json`)); err != nil || !bytes.Contains(data, []byte(`"DPAPI"`)) || bytes.Contains(data, []byte(`"seed"`)) {
		t.Errorf("the device's key is not kept by DPAPI: %v", err)
	}
	if out, _, code := w.call(windowsProgram, "service", "status"); code != 1 || !strings.Contains(out, "not installed") {
		t.Errorf("before: exit %d, %s", code, out)
	}
	w.tidemark("service", "install")
	w.tidemark("service", "start")
	if out := w.tidemark("service", "status"); !strings.Contains(out, "running") {
		t.Errorf("status of the service: %s", out)
	}
	w.archived("wxid_tide", 40)
	w.archived("wxid_three", 40)
	a, b := four.Chat(append(chat, "--count", "100")...), three.Chat(append(other, "--count", "100")...)
	a.Wait()
	b.Wait()
	w.archived("wxid_tide", 140)
	w.archived("wxid_three", 140)
	out, stderr, code := w.call(windowsProgram, "status", "--json")
	if code != 0 || !strings.Contains(out, `"running": true`) {
		t.Errorf("status exits %d: %s%s", code, out, stderr)
	}

	w.tidemark("service", "stop")
	if _, _, code := w.call(windowsProgram, "status"); code != 2 {
		t.Errorf("stopped: status exits %d", code)
	}
	if events := w.must("tidemark-archive", "records", "--kind", "event"); !strings.Contains(events, "stopped by the service manager") {
		t.Error("the archive does not know why the agent stopped")
	}
	four.Chat(append(chat, "--count", "60")...).Wait()
	w.tidemark("service", "start")
	w.archived("wxid_tide", 200)
	w.tidemark("service", "uninstall")
	if out, _, code := w.call(windowsProgram, "service", "status"); code != 1 || !strings.Contains(out, "not installed") {
		t.Errorf("after: exit %d, %s", code, out)
	}
	if _, err := os.Stat(w.here(state + `\state\spool.db`)); err != nil {
		t.Errorf("the state is gone: %v", err)
	}
	w.tidemark("once") // what the clients did while the agent was stopping
	w.matches(four, "wxid_tide")
	w.matches(three, "wxid_three")
	w.verify()
}
