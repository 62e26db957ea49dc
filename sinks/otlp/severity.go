package otlp

import (
	"bytes"

	logs "go.opentelemetry.io/proto/slim/otlp/logs/v1"

	"audisp-relay/audit/record"
)

// Ranges of types (linux/audit.h, audit-records.h): anomalies that the kernel reports, those
// that programs report, and what was done against them.
const (
	firstKernelAnomaly, lastKernelAnomaly = 1700, 1799
	firstAnomaly, lastResponse            = 2100, 2299
)

// severityOf says how severe the event is that records i to j-1 of b are: an error is a failure of
// auditd's or of the relay's, its loss markers above all; a warning an anomaly, an access that a
// security module has decided on, or what has failed; all else is information.
func severityOf(b *record.Batch, i, j int) logs.SeverityNumber {
	for k := i; k < j; k++ {
		switch typ := b.Recs[k].Type; {
		case typ == record.TypeDaemonErr || typ == record.TypeDaemonAbort:
			return logs.SeverityNumber_SEVERITY_NUMBER_ERROR
		case typ >= firstKernelAnomaly && typ <= lastKernelAnomaly, typ >= firstAnomaly && typ <= lastResponse,
			typ == record.TypeAVC, typ == record.TypeUserAVC, typ == record.TypeSELinuxErr, typ == record.TypeUserSELinuxErr,
			typ == record.TypeSeccomp:
			return logs.SeverityNumber_SEVERITY_NUMBER_WARN
		}
	}
	if main := record.MainOf(b.Recs[i:j]); main >= 0 && failed(b.Body(i+main), b.Recs[i+main].Type) {
		return logs.SeverityNumber_SEVERITY_NUMBER_WARN
	}
	return logs.SeverityNumber_SEVERITY_NUMBER_INFO
}

// severityText is the name of a severity, as syslog and most logs have it.
func severityText(n logs.SeverityNumber) string {
	switch n {
	case logs.SeverityNumber_SEVERITY_NUMBER_ERROR:
		return "ERROR"
	case logs.SeverityNumber_SEVERITY_NUMBER_WARN:
		return "WARN"
	}
	return "INFO"
}

// failed reports whether a record says that what it is about did not succeed: success=no of a system
// call, res= of the others. A program's text may have res= in it; the library puts the true one
// after it (audit_log_user_message and others of libaudit).
func failed(body []byte, typ uint32) bool {
	end, _ := record.FindNames(typ, body)
	body = body[:end]
	if typ == record.TypeSyscall {
		return bytes.Contains(body, []byte(" success=no"))
	}
	at := bytes.LastIndex(body, []byte(" res="))
	if at < 0 {
		return false
	}
	value := body[at+len(" res="):]
	return record.HasPrefix(value, "fail") || record.HasPrefix(value, "no") || record.HasPrefix(value, "0")
}
