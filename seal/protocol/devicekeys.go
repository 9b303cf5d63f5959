package protocol

// PathKeys gives a device the keys that the organisation left for it at the archive
// (POST: KeysRequest -> DeviceKeys). It carries a request token as the lanes do.
const PathKeys = "/v1/keys"

// MaxKeysRequest is the largest body of PathKeys that an archive must accept.
const MaxKeysRequest = 8 << 10

// KeysRequest says what a device's keys are sealed to: seal.Identity.KeyRecipient.
type KeysRequest struct {
	V         int    `json:"v"` // 1
	Recipient []byte `json:"recipient"`
}

// DeviceKeys is a key file, sealed to the device that asks (seal.SealDeviceKeys). No
// bytes mean that nothing is left for it, or not any more.
type DeviceKeys struct {
	V      int    `json:"v"` // 1
	Sealed []byte `json:"sealed,omitempty"`
}
