module tidemark/simulator

go 1.26.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/mutecomm/go-sqlcipher/v4 v4.4.2
	github.com/pierrec/lz4/v4 v4.1.33
	github.com/spf13/cobra v1.10.2
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
)
