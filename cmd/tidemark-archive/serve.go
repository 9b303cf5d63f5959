package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidemark/archive"
	"tidemark/archive/console"
	"tidemark/archive/fleet"
	"tidemark/archive/registry"
	"tidemark/archive/server"
	"tidemark/seal"
)

func initCommand() *cobra.Command {
	var name string
	var others []string
	cmd := &cobra.Command{
		Use:   "init --dir DIR [--name NAME] [--recipient FILE]",
		Short: "Make an empty archive and its keys; print the ARCHIVEKEY",
		Long:  "Makes an archive in an empty folder and prints the ARCHIVEKEY, the string that every\nagent is given with the archive's address.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			var recipients []seal.RecipientKey
			for _, file := range others {
				r, err := readRecipient(file)
				if err != nil {
					return err
				}
				recipients = append(recipients, r)
			}
			key, err := archive.Init(cmd.Context(), string(f), name, time.Now(), recipients...)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), key)
			fmt.Fprintf(cmd.ErrOrStderr(), "tidemark-archive: hint: back up %s now; without it nothing can be read or receipted\n", f.Keys())
			fmt.Fprintln(cmd.ErrOrStderr(), "tidemark-archive: hint: next: tidemark-archive token, and tidemark-archive serve")
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the archive's name in receipts; default one made at random")
	cmd.Flags().StringArrayVar(&others, "recipient", nil, "a further recipient: `FILE` with what recipient new printed; may be repeated")
	return withDir(cmd)
}

func serveCommand() *cobra.Command {
	var listen, cert, key, addrFile, level, consoleAt string
	cmd := &cobra.Command{
		Use:   "serve --dir DIR --listen ADDR",
		Short: "Take batches from agents until SIGTERM or SIGINT",
		Long: "Takes batches from agents. Plain HTTP is served on loopback addresses only, any other\n" +
			"address needs --tls-cert and --tls-key.\n\n" +
			"--console serves the pages of the fleet (/fleet), the same as JSON (/fleet.json) and metrics\n" +
			"(/metrics) at a second address, on loopback: who may see the names of laptops and users is for\n" +
			"a proxy with a login, or an SSH tunnel, to decide.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := folder(cmd)
			if err != nil {
				return err
			}
			if listen == "" {
				return usage("--listen is required, for example 127.0.0.1:8470")
			}
			if (cert == "") != (key == "") {
				return usage("--tls-cert and --tls-key go together")
			}
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return usage("--log-level %q: use debug, info, warn or error", level)
			}
			logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: l}))
			ln, err := listenOn(listen, cert, key)
			if err != nil {
				return err
			}
			defer ln.Close()
			var consoleOn net.Listener
			if consoleAt != "" {
				if consoleOn, err = listenOn(consoleAt, "", ""); err != nil {
					return fmt.Errorf("--console: %w", err)
				}
				defer consoleOn.Close()
			}
			a, err := archive.Open(cmd.Context(), string(f), archive.Options{Logger: logger})
			if err != nil {
				return err
			}
			if consoleOn != nil {
				logger.Info("console", "addr", consoleOn.Addr().String(), "path", console.PathFleet)
				defer serveConsole(console.New(fleet.Open(f), a.Name(), time.Now, logger), consoleOn, logger)()
			}
			logger.Info("serving", "addr", ln.Addr().String(), "tls", cert != "", "archive", a.Name(), "key", a.Key().String())
			if addrFile != "" {
				if err := writeWhole(addrFile, ln.Addr().String()+"\n"); err != nil {
					return errors.Join(err, a.Close())
				}
			}
			addr := ln.Addr().String()
			for a != nil {
				err = server.New(a, logger).Serve(cmd.Context(), ln)
				if err = errors.Join(err, a.Close()); !errors.Is(err, archive.ErrStopped) || cmd.Context().Err() != nil {
					break
				}
				a, ln, err = again(cmd.Context(), f, logger, func() (net.Listener, error) { return listenOn(addr, cert, key) })
			}
			if err == nil {
				logger.Info("stopped")
			}
			return err
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&listen, "listen", "", "address and port; port 0 takes a free one")
	fl.StringVar(&cert, "tls-cert", "", "certificate chain, PEM")
	fl.StringVar(&key, "tls-key", "", "private key of the certificate, PEM")
	fl.StringVar(&consoleAt, "console", "", "`ADDRESS` of the fleet's pages and metrics, on loopback")
	fl.StringVar(&addrFile, "addr-file", "", "write the bound address to this file once requests are answered")
	fl.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return withDir(cmd)
}

// serveConsole answers on the listener until the returned function is called. It goes on
// while an archive that has stopped is opened again: that is when somebody looks.
func serveConsole(c *console.Console, ln net.Listener, logger *slog.Logger) (stop func()) {
	s := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	go func() {
		if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the console has stopped", "err", err)
		}
	}()
	return func() { s.Close() }
}

// again opens an archive that has stopped, as its disk failed, and listens again. It
// tries until that works, or ctx ends, which gives nil, or there is something only a
// person can do. Nobody is answered meanwhile: there is nothing true to say.
func again(ctx context.Context, f archive.Folder, logger *slog.Logger, listen func() (net.Listener, error)) (*archive.Archive, net.Listener, error) {
	for wait := reopenFirst; ; wait = min(2*wait, reopenMost) {
		select {
		case <-ctx.Done():
			return nil, nil, nil
		case <-time.After(wait):
		}
		a, err := archive.Open(ctx, string(f), archive.Options{Logger: logger})
		if err == nil {
			var ln net.Listener
			if ln, err = listen(); err == nil {
				logger.Info("serving again", "addr", ln.Addr().String())
				return a, ln, nil
			}
			err = errors.Join(err, a.Close())
		}
		if ctx.Err() == nil && hintOf(err) != "" {
			return nil, nil, err
		}
		logger.Error("can not open the archive again; trying until it goes", "err", err)
	}
}

// How soon, and how seldom at last, a stopped archive is opened again.
const (
	reopenFirst = time.Second
	reopenMost  = time.Minute
)

// listenOn binds the address. Without TLS it must be a loopback address: tokens
// and metadata would be readable on the way otherwise, though content never is.
func listenOn(addr, cert, key string) (net.Listener, error) {
	var config *tls.Config
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("load certificate: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if config != nil {
		return tls.NewListener(ln, config), nil
	}
	if tcp, ok := ln.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		ln.Close()
		return nil, usage("--listen %s is not a loopback address: give --tls-cert and --tls-key", addr)
	}
	return ln, nil
}

// writeWhole writes a file that nobody sees half of.
func writeWhole(name, text string) error {
	temp := name + ".tmp"
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

func tokenCommand() *cobra.Command {
	var uses int
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "token --dir DIR [--uses N] [--ttl D]",
		Short: "Print an enrolment token",
		Long:  "Prints a token with which agents enrol. It is shown once; the archive keeps only its hash.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if uses < 1 || ttl <= 0 {
				return usage("--uses and --ttl must be above zero")
			}
			r, err := openRegistry(cmd)
			if err != nil {
				return err
			}
			now := time.Now()
			token, err := r.NewToken(uses, now, now.Add(ttl))
			if err = errors.Join(err, r.Close()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	cmd.Flags().IntVar(&uses, "uses", 1, "how many devices may enrol with it")
	cmd.Flags().DurationVar(&ttl, "ttl", 24*time.Hour, "how long it is good for")
	return withDir(cmd)
}

func openRegistry(cmd *cobra.Command) (*registry.Registry, error) {
	f, err := folder(cmd)
	if err != nil {
		return nil, err
	}
	if _, err := f.LoadKeys(); err != nil { // never make a registry where no archive is
		return nil, err
	}
	return f.OpenRegistry()
}
