package disclosure

import "errors"

// ErrNoDialog reports that this session has nothing to show a dialog with.
var ErrNoDialog = errors.New("this session has no means to show a dialog")

// Labels are a dialog's words beside the notice.
type Labels struct{ Title, Read, Later string }

// LabelsIn gives them in a language.
func LabelsIn(language string) Labels {
	if language == Chinese {
		return Labels{"聊天记录留存通知", "我已阅读", "稍后"}
	}
	return Labels{"Notice of recording", "I have read this", "Later"}
}
