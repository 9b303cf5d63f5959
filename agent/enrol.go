package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"tidemark/agent/config"
	"tidemark/seal"
	"tidemark/seal/protocol"
	"tidemark/uploader"
)

// ErrEnrolledElsewhere reports that the state folder belongs to another archive.
var ErrEnrolledElsewhere = errors.New("this device is enrolled with another archive")

// EnrolOptions say with whom to enrol.
type EnrolOptions struct {
	URL     string
	Key     string       // the archive's key as text
	Token   string       // the enrolment token
	Version string       // of this program
	Client  *http.Client // nil means uploader.NewClient with the configured proxy
	// Waiting, when it is not nil, is told how long Enrol waits because the archive is busy.
	Waiting func(time.Duration)

	wait func(context.Context, time.Duration) error // nil means sleep; tests only
}

// enrolPatience is how long Enrol puts up with an archive that says it is busy.
const enrolPatience = time.Hour

// Enrolled says who enrolled with whom.
type Enrolled struct {
	Device  string `json:"device"`
	Archive string `json:"archive"`
	URL     string `json:"url"`
}

// Enrol makes this device known to the archive and keeps what a delivery needs in
// the state folder. It may be repeated: a lost answer costs nothing, because the
// identity is on disk before the archive hears of it, and the same device may
// enrol with the same archive again. An error of another archive or server wraps
// seal.ErrForged; the archive's own refusal is an *uploader.Failure.
func Enrol(ctx context.Context, c *config.Config, o EnrolOptions) (*Enrolled, error) {
	key, err := seal.ParseArchiveKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if err := MakeStateDir(c); err != nil {
		return nil, err
	}
	remote, err := newRemote(c, o.URL, o.Version, o.Client)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}

	// Document and identity first, the request second, the enrolment last. A crash
	// before the last leaves a device that is not enrolled and repeats all this with
	// the same identity; the other order could leave one that the archive knows and
	// that has forgotten who it is.
	pinned := key
	var old enrolmentForm
	if err := readForm(filepath.Join(c.StateDir, enrolmentFile), &old); err == nil && old.Key != key.String() {
		if pinned, err = seal.ParseArchiveKey(old.Key); err != nil {
			return nil, fmt.Errorf("enrol: %w", err)
		}
	}
	archive, err := meet(ctx, c.StateDir, pinned, remote, time.Now())
	switch {
	case pinned != key && (err != nil || !archive.Had(key)):
		return nil, fmt.Errorf("enrol: %w", ErrEnrolledElsewhere)
	case err != nil:
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if err := leaveSpool(c.StateDir, time.Now()); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	id, err := makeIdentity(c.StateDir, c.Secrets)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	e := protocol.Enrollment{Hostname: hostname, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: o.Version}
	protocol.SignEnrollment(&e, id, archive.Key)
	answer, err := o.enrol(ctx, remote, &e)
	if err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	if answer.Device != id.ID().String() {
		return nil, fmt.Errorf("enrol: the archive answered for another device: %w", seal.ErrForged)
	}
	form := enrolmentForm{V: 1, URL: o.URL, Key: pinned.String(), Device: answer.Device, Enrolled: time.Now().UTC().Truncate(time.Second)}
	if err := writeForm(filepath.Join(c.StateDir, enrolmentFile), form); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	return &Enrolled{Device: answer.Device, Archive: archive.Name(), URL: o.URL}, nil
}

// enrol asks the archive, and asks again as long as it says that it is busy: many devices
// behind one address that are rolled out together are told so, each with when to come
// back. They come back one after the other, and not all at that moment.
func (o *EnrolOptions) enrol(ctx context.Context, remote *uploader.Remote, e *protocol.Enrollment) (*protocol.Enrolled, error) {
	wait := o.wait
	if wait == nil {
		wait = sleep
	}
	spread, waited := 2*time.Second, time.Duration(0)
	for {
		answer, err := remote.Enroll(ctx, o.Token, e)
		var f *uploader.Failure
		if !errors.As(err, &f) || f.State != uploader.StateBusy || f.RetryAfter <= 0 || waited >= enrolPatience {
			return answer, err
		}
		d := min(f.RetryAfter, enrolPatience) + rand.N(spread)
		spread, waited = min(2*spread, time.Minute), waited+d
		if o.Waiting != nil {
			o.Waiting(d)
		}
		if werr := wait(ctx, d); werr != nil {
			return nil, errors.Join(err, werr)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// UserAgent is what this program calls itself to an archive.
func UserAgent(version string) string { return "tidemark/" + version }
