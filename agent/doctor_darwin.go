package agent

const folderRemedy = "give Tidemark full disk access (System Settings, Privacy and Security), or deploy the privacy profile for it"

func (d *doctor) notifications() {
	d.skip("file_notifications", "macOS has no limit for them that matters")
}
