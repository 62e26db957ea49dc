package doctor

import "slices"

// Checks returns all checks, in the order in which a record travels: kernel, auditd, its plugins,
// the relay, its sinks, and what stands beside them. The caller owns the list.
func Checks() []Check {
	return slices.Concat(kernelChecks(), auditdChecks(), pluginChecks(), relayChecks(), sinkChecks(), aroundChecks())
}

// Codes lists the codes of all findings there can be, in the order of Checks.
func Codes() (codes []string) {
	for _, c := range Checks() {
		codes = append(codes, c.Code)
	}
	return append(codes, CodeUnknown)
}
