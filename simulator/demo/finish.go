package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"tidemark/simulator/oracle"
)

// mostFaults is how many faults the summary names.
const mostFaults = 20

// finish stops everything, source first and store last, checks the archive and says
// what it came to.
func (d *demo) finish(ctx context.Context) error {
	s := d.site
	d.out.close()
	d.out.note("stopping the client")
	if err := s.client.stop(ctx); err != nil {
		return err
	}
	d.stopRead()
	d.reading.Wait()
	select {
	case err := <-d.readErr:
		return err
	default:
	}
	d.out.note("stopping the agent, and one last pass for what the client wrote meanwhile")
	if err := s.agent.stop(ctx); err != nil {
		return err
	}
	// A last pass that could not do all is a fault to be told with the others.
	_, passErr := s.output(ctx, s.agentBin, "once")
	d.out.note("stopping the archive, then checking all it has")
	if err := s.archive.stop(ctx); err != nil {
		return err
	}
	if err := s.export(ctx); err != nil {
		return err
	}
	verified, verifyErr := s.output(ctx, s.archBin, "verify")
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	rep, err := d.compare()
	if err != nil {
		return err
	}
	d.summarize(d.Out, rep, verified)
	faults := errors.Join(passErr, verifyErr)
	if faults != nil {
		fmt.Fprintf(d.Out, "  FAULT      %s\n", strings.ReplaceAll(faults.Error(), "\n", "\n             "))
	}
	if len(rep.Faults) > 0 {
		fmt.Fprint(d.Out, "\nFAULTS: ")
		rep.Summary(d.Out, mostFaults)
	}
	d.whereabouts(d.Out)
	if faults != nil || len(rep.Faults) > 0 {
		return ErrFaults
	}
	return nil
}

func (s *site) recordsFile() string { return s.path("records.ndjson") }

// records has read take records as the archive prints them; args select.
func (s *site) records(ctx context.Context, read func(io.Reader) error, args ...string) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := read(r)
		r.CloseWithError(err) // nil means that all was read
		done <- err
	}()
	err := s.run(ctx, w, s.archBin, append([]string{"records"}, args...)...)
	w.Close()
	return errors.Join(err, <-done)
}

// export writes all records to a file.
func (s *site) export(ctx context.Context) error {
	f, err := os.Create(s.recordsFile())
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return errors.Join(s.run(ctx, f, s.archBin, "records"), f.Close())
}

// compare holds all records against the oracle, and completes the tally.
func (d *demo) compare() (*oracle.Report, error) {
	truth, err := os.Open(d.site.oracle())
	if err != nil {
		return nil, fmt.Errorf("read oracle: %w", err)
	}
	defer truth.Close()
	records, err := os.Open(d.site.recordsFile())
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	defer records.Close()
	if err := d.tally.read(records); err != nil {
		return nil, err
	}
	if _, err := records.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	// What was recalled before the agent had read the account once, it could not have.
	return oracle.Compare(truth, records, oracle.CompareOptions{LateStart: d.tally.ready, Grace: d.Grace})
}

// summarize says in a few lines what it came to.
func (d *demo) summarize(w io.Writer, rep *oracle.Report, verified string) {
	t := d.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(w, "\nWhat %s of chatting came to:\n", clockText(d.lasted))
	fmt.Fprintf(w, "  written    %d messages by the client, %d of them recalled\n", rep.Messages, rep.Recalls)
	fmt.Fprintf(w, "  archived   %d of these messages, %d recalls kept with the original", rep.Records, t.kept)
	if rep.LateNotice > 0 {
		fmt.Fprintf(w, ", %d recalled before capture", rep.LateNotice)
	}
	fmt.Fprintln(w)
	other := len(rep.Faults) - rep.Counts[oracle.Missing] - rep.Counts[oracle.Doubled] - rep.Counts[oracle.Different]
	fmt.Fprintf(w, "  compared   %d missing, %d doubled, %d different, %d other faults\n",
		rep.Counts[oracle.Missing], rep.Counts[oracle.Doubled], rep.Counts[oracle.Different], other)
	if n := len(t.delays); n > 0 {
		p50, p95 := quantiles(t.delays)
		fmt.Fprintf(w, "  delay      commit to archive p50 %s, p95 %s (%d messages)\n", delayText(p50), delayText(p95), n)
	}
	if _, counts, ok := strings.Cut(verified, ": "); ok && !strings.Contains(verified, "\n") {
		verified = counts // what comes before is the ARCHIVEKEY
	}
	fmt.Fprintf(w, "  verify     %s\n", strings.ReplaceAll(verified, "\n", "\n             "))
	if r := t.shown; r != nil {
		fmt.Fprintf(w, "  recalled   the client's database now has: %s\n", printable(r.now))
		fmt.Fprintf(w, "             the archive still has: %s\n", cut(printable(r.original.says()), 80-36))
	}
}

// whereabouts says what is left, which is nothing unless it was asked for.
func (d *demo) whereabouts(w io.Writer) {
	if !d.Keep {
		fmt.Fprintln(w, "\nNothing runs any more, and the folder is gone; --keep leaves it to look at.")
		return
	}
	fmt.Fprintf(w, "\nNothing runs any more. Everything is kept in %s:\n", d.site.dir)
	l := look{d.Bin, d.site.dir}
	for _, c := range l.commands(lineWidth) {
		if !strings.Contains(c, " status ") { // nobody would answer
			fmt.Fprintf(w, "  %s\n", c)
		}
	}
}
