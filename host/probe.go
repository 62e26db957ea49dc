package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	auditUser       = 1005 // AUDIT_USER: a message from user space
	auditTrustedApp = 1121 // AUDIT_TRUSTED_APP: free text of a program that may write audit records
	probeText       = "op=audisp-relay-install msg='asks whether auditd gives records to its new plugin' res=success"
	nlmsgHeader     = 16
)

// Probe makes one audit record, of type TRUSTED_APP, as `auditctl -m` makes one. It needs
// CAP_AUDIT_WRITE. It is an error where the kernel makes no records at present, and changes
// neither a rule nor a setting.
func Probe() error { return makeRecord(auditTrustedApp, probeText) }

// UserMessage makes one audit record of type USER with this text, as `auditctl -m` makes one; see Probe. It
// returns when the kernel has taken it. A rule of the lists user and exclude may drop it nevertheless.
func UserMessage(text string) error { return makeRecord(auditUser, text) }

func makeRecord(typ uint16, text string) error {
	s, err := kernel.status()
	if err != nil {
		return err
	}
	if s.Enabled == 0 {
		return errors.New("the kernel's audit is switched off (auditctl -e 1)")
	}
	if err := sendUserRecord(typ, text); err != nil {
		return fmt.Errorf("make an audit record: %w", err)
	}
	return nil
}

// sendUserRecord gives a record to the kernel and waits until it has taken it.
func sendUserRecord(typ uint16, text string) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(int64(kernelTime / time.Nanosecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}

	msg := make([]byte, nlmsgHeader, nlmsgHeader+len(text)+4)
	msg = append(append(msg, text...), 0)
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], typ)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(msg[8:], 1)
	for len(msg)%4 != 0 {
		msg = append(msg, 0)
	}
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}

	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < nlmsgHeader+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer is no acknowledgement")
	}

	if code := int32(binary.NativeEndian.Uint32(answer[nlmsgHeader:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
