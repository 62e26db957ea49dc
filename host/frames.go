package host

import "strings"

// PaddedFrames reports whether the auditd of this machine writes binary frames of one length,
// 16 + 8970 bytes, and so whether a program that was made to be its plugin reads such: 2.8 (audispd)
// to 4.1.0 do. It goes by the package that program is of, where an auditctl lies beside it. The
// version is "" where it is not known; then frames are taken for exact ones.
func PaddedFrames(program string) (padded bool, version string) {
	return Machine{}.paddedFrames(program)
}

func (m Machine) paddedFrames(program string) (padded bool, version string) {
	a := Auditd{Version: m.version(program)}
	first := a.Version == "4.1" || strings.HasPrefix(a.Version, "4.1.0")
	return a.Version != "" && (first || !a.atLeast(4, 1)), a.Version
}
