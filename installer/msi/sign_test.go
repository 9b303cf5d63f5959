package msi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// certificate makes one that signs programs, and its key, as PEM files.
func certificate(t *testing.T) (certificate, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Tidemark test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	err = errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// Promise: the release's signing hook signs a program and a package so that they verify
// under the certificate, and no longer when one byte is changed.
func TestSigned(t *testing.T) {
	if _, err := exec.LookPath("osslsigncode"); err != nil {
		t.Skip("it needs osslsigncode: apt-get install osslsigncode")
	}
	cert, key := certificate(t)
	exe := filepath.Join(t.TempDir(), "nothing.exe")
	cmd := exec.Command("go", "build", "-o", exe, "../macpkg/testdata/nothing")
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range []string{exe, build(t, Options{Version: "1.2.3", Arch: "amd64"})} {
		verify := func() ([]byte, error) {
			return exec.Command("osslsigncode", "verify", "-CAfile", cert, "-in", file).CombinedOutput()
		}
		if _, err := verify(); err == nil {
			t.Errorf("%s verifies unsigned", file)
		}
		cmd := exec.Command("sh", "../windows/sign.sh", file)
		cmd.Env = append(os.Environ(), "CERTIFICATE="+cert, "KEY="+key, "TIMESTAMP_URL=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if out, err := verify(); err != nil {
			t.Errorf("%s does not verify: %v\n%s", file, err, out)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := len(data) / 3
		data[at] ^= 1
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := verify(); err == nil {
			t.Errorf("%s with byte %d changed verifies:\n%s", file, at, out)
		}
	}
}
