package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidemark/internal/state"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/uploader"
)

// The stages of the way to the archive. One that fails leaves those behind it open.
var archiveStages = []string{"archive_dns", "archive_connection", "archive_tls", "archive_answer", "archive_key", "clock"}

// archive goes the way to the archive, and says how far it leads.
func (d *doctor) archive(ctx context.Context) {
	address, pins := d.Config.ArchiveURL, []seal.ArchiveKey{}
	if e, err := openEnrolment(d.Config); err == nil {
		address, pins = e.url, append(pins, e.archive.Key, e.pinned)
	}
	if key, err := seal.ParseArchiveKey(d.Config.ArchiveKey); err == nil {
		pins = append(pins, key)
	}
	if address == "" {
		for _, s := range archiveStages {
			d.skip(s, "no archive is configured yet")
		}
		return
	}
	client, err := uploader.NewClient(d.Config.Proxy)
	if err != nil {
		d.stop("archive_connection", state.Delivery(string(uploader.StateUnreachable)), err.Error(), "correct archive.proxy")
		return
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	document := strings.TrimRight(address, "/") + protocol.PathArchive
	get := func(u string) (*http.Response, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
		if err != nil {
			return nil, nil, err
		}
		req.Header.Set("User-Agent", UserAgent(d.DoctorOptions.Version))
		resp, err := client.Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return resp, body, err
	}
	way := d.way(client, document)
	resp, body, err := get(document)
	now := time.Now()
	if err != nil {
		d.wayFails(err, way)
		return
	}
	d.pass("archive_dns", "the name of the archive is found%s", way)
	d.pass("archive_connection", "there is a connection to it%s", way)
	if strings.HasPrefix(address, "https:") {
		d.pass("archive_tls", "its certificate is trusted here")
	} else {
		d.skip("archive_tls", "%s is on this machine and needs none", address)
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		d.stop("archive_answer", state.Delivery(string(uploader.StateUnreachable)), "the proxy wants a login (407)", "set archive.proxy with user and password")
		return
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		where := "elsewhere"
		if u, err := resp.Location(); err == nil {
			where = u.Host
		}
		d.stop("archive_answer", state.Delivery(string(uploader.StateNotArchive)), fmt.Sprintf("the answer sends us to %s: a network that wants a login (captive portal), or a wrong address", where), "")
		return
	case mediaType == "text/html":
		d.stop("archive_answer", state.Delivery(string(uploader.StateNotArchive)), fmt.Sprintf("a web page answers (%d): a network that wants a login (captive portal), a proxy, or a wrong address", resp.StatusCode), "")
		return
	case resp.StatusCode != http.StatusOK:
		d.stop("archive_answer", state.Delivery(string(uploader.StateBusy)), fmt.Sprintf("it answers with %d", resp.StatusCode), "tell the archive's administrator; everything is kept")
		return
	}
	d.pass("archive_answer", "an archive answers at %s", address)
	switch ok, err := keyIs(body, pins); {
	case len(pins) == 0:
		d.skip("archive_key", "no archive's key is configured yet")
	case ok:
		d.pass("archive_key", "it has the key that is pinned")
	default:
		_, succession, serr := get(strings.TrimRight(address, "/") + protocol.PathSuccession)
		if serr == nil && succeeded(succession, pins, now) {
			d.pass("archive_key", "it has followed the key that is pinned, as does this device")
			break
		}
		d.fail("archive_key", state.Delivery(string(uploader.StateNotArchive)), "it is another archive than the one whose key is pinned: "+err.Error(), "check archive.url and archive.key with the archive's administrator")
	}
	d.clock(resp, now)
}

// way says by which proxy the request goes, or nothing.
func (d *doctor) way(client *http.Client, address string) string {
	u, err := url.Parse(address)
	t, ok := client.Transport.(*http.Transport)
	if err != nil || !ok || t.Proxy == nil {
		return ""
	}
	if p, err := t.Proxy(&http.Request{URL: u}); err == nil && p != nil {
		return " by the proxy " + p.Host
	}
	return ""
}

// stop fails at a stage: those before it are good, those behind it open.
func (d *doctor) stop(stage string, s state.ID, what, do string) {
	reached := false
	for _, name := range archiveStages {
		already := false
		for _, c := range d.Checks {
			already = already || c.ID == name
		}
		switch {
		case name == stage:
			reached = true
			d.fail(name, s, what, do)
		case already:
		case reached:
			d.skip(name, "not reached")
		default:
			d.pass(name, "good")
		}
	}
}

// wayFails tells apart what keeps a request from being answered.
func (d *doctor) wayFails(err error, way string) {
	var dns *net.DNSError
	var op *net.OpError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert *tls.CertificateVerificationError
	unreachable := state.Delivery(string(uploader.StateUnreachable))
	text := err.Error()
	var u *url.Error
	if errors.As(err, &u) {
		text = u.Err.Error()
	}
	switch {
	case strings.Contains(text, http.StatusText(http.StatusProxyAuthRequired)):
		d.stop("archive_connection", unreachable, "the proxy wants a login (407)"+way, "set archive.proxy with user and password")
	case errors.As(err, &op) && op.Op == "proxyconnect":
		d.stop("archive_connection", unreachable, "the proxy cannot be reached"+way+": "+op.Err.Error(), "check archive.proxy, or the proxy that the environment names (HTTPS_PROXY)")
	case errors.As(err, &dns):
		d.stop("archive_dns", unreachable, "the name "+dns.Name+" is not found: "+dns.Err+way, "check archive.url, the network, and its name servers")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		d.stop("archive_tls", unreachable, "the archive's certificate is out of date, or this device's clock is wrong: "+text, "check this device's clock, then the archive's certificate")
	case strings.Contains(text, "server gave HTTP response to HTTPS client"): // it has no value of its own
		d.stop("archive_tls", unreachable, "what answers speaks no TLS: a network that wants a login, or a wrong address", "sign in to the network, then check archive.url")
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &alert), errors.As(err, &record):
		d.stop("archive_tls", unreachable, "the archive's certificate is not trusted here, or something on the way answers in its place: "+text,
			"install the organisation's certificate authority on this device, or sign in to the network")
	default:
		d.stop("archive_connection", unreachable, "there is no connection"+way+": "+text, "check the network, a firewall on the way, and archive.url")
	}
}

// keyIs says whether the document is one of the keys'.
func keyIs(document []byte, pins []seal.ArchiveKey) (bool, error) {
	err := errors.New("no key is pinned")
	for _, pin := range pins {
		if _, err = seal.OpenArchiveDocument(document, pin); err == nil {
			return true, nil
		}
	}
	return false, err
}

// succeeded says whether the archive's documents lead on from one of the keys.
func succeeded(raw []byte, pins []seal.ArchiveKey, now time.Time) bool {
	var s protocol.Succession
	if json.Unmarshal(raw, &s) != nil {
		return false
	}
	return slices.ContainsFunc(pins, func(pin seal.ArchiveKey) bool {
		_, err := seal.OpenSuccession(s.Succession, pin, now)
		return err == nil
	})
}

// clock compares this device's clock with the answer's date, which is whole seconds.
func (d *doctor) clock(resp *http.Response, now time.Time) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		d.skip("clock", "the answer has no date to compare with")
		return
	}
	if off := now.Sub(date).Abs(); off > clockTolerance {
		d.fail("clock", state.ClockOff, fmt.Sprintf("this device's clock differs from the archive's by %s", off.Round(time.Second)), "")
		return
	}
	d.pass("clock", "this device's clock and the archive's agree")
}
