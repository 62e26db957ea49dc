package config

import (
	"errors"
	"fmt"
	"math"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Size is a number of bytes. In TOML it is a string of digits with KiB, MiB,
// GiB or nothing after it, or an integer of bytes.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String gives the size in its largest whole unit: "64MiB", "1500", "0".
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

var errSize = errors.New(`must be a size like "64MiB", "32KiB", "1GiB", "0" or a number of bytes`)

func parseSize(text string) (Size, error) {
	unit := Size(1)
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = digits, u.bytes
			break
		}
	}
	if !isDigits(text) {
		return 0, errSize
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return math.MaxInt64, nil // more than any bound
	}
	return Size(n) * unit, nil
}

// parseMode reads permission bits the way chmod writes them.
func parseMode(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || !isDigits(text) || len(text) < 3 || n > 0o777 {
		return 0, fmt.Errorf(`%q is not a mode, must be octal digits in quotes, "0600" to "0777"`, text)
	}
	return uint32(n), nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// quoted lists the words a value may be: "a", "b" or "c".
func quoted(words []string) string {
	list := `"` + strings.Join(words, `", "`) + `"`
	if i := strings.LastIndex(list, ", "); i >= 0 {
		list = list[:i] + " or " + list[i+2:]
	}
	return list
}

// The checks below have the form Table.Str wants: nil or what is wrong.

// DirPath accepts an absolute path.
func DirPath(s string) error {
	switch {
	case strings.ContainsRune(s, 0):
		return errors.New("must not hold a NUL byte")
	case !filepath.IsAbs(s):
		return fmt.Errorf("%q is not absolute, must start with /", s)
	case len(s) > 4095:
		return errors.New("is longer than a path can be, 4095 bytes")
	}
	for name := range strings.SplitSeq(s, "/") {
		if len(name) > MaxName {
			return fmt.Errorf("has a name of %d bytes in it, a file or directory can have %d", len(name), MaxName)
		}
	}
	return nil
}

// OwnDirPath is DirPath for a directory in which the relay alone makes files, and which it gives to the worker's user.
func OwnDirPath(s string) error {
	if err := DirPath(s); err != nil {
		return err
	}
	if filepath.Clean(s) == "/" {
		return fmt.Errorf("%q has what is others' in it, must be a directory of the relay's own", s)
	}
	return nil
}

// MaxName is how long a name in a directory can be (NAME_MAX of limits.h).
const MaxName = 255

// FilePath is DirPath for what is opened as a file.
func FilePath(s string) error {
	if strings.HasSuffix(s, "/") {
		return fmt.Errorf("%q names a directory, must name a file", s)
	}
	return DirPath(s)
}

// SecretPath is FilePath for what may be a secret by mistake: the error, which is logged, does not show it.
func SecretPath(s string) error {
	if FilePath(s) != nil {
		return errors.New("is not the absolute path of a file: name one that has the value")
	}
	return nil
}

// ShowAddress returns the address of a server as an error may show it: without what stands in front of the host, which may be a
// password, and without a query, which may be a token. Neither has to be where it belongs.
func ShowAddress(s string) string {
	scheme, address := "", s
	if i := strings.Index(s, "://"); i >= 0 && !strings.ContainsAny(s[:i], "@:/?#") {
		scheme, address = s[:i+3], s[i+3:]
	}
	query := ""
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		address, query = address[:i], address[i:]
	}

	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		address = "..." + address[i:]
	} else if strings.Contains(query, "@") { // a password with such a character
		address = "..."
	}
	if query != "" {
		query = query[:1] + "..."
	}
	return scheme + address + query
}

// SocketPath is FilePath for what goes into sun_path.
func SocketPath(s string) error {
	if len(s) > maxSunPath {
		return fmt.Errorf("is %d bytes long, a socket's path can have %d", len(s), maxSunPath)
	}
	return FilePath(s)
}

// OneOf accepts the words.
func OneOf(words ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("%q is not allowed, must be %s", s, quoted(words))
	}
}

// EmptyOr accepts "" and what check accepts.
func EmptyOr(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func runDir(s string) error {
	if len(s) > maxRunDir {
		return fmt.Errorf("is %d bytes long, allowed are %d so that the sockets in it fit", len(s), maxRunDir)
	}
	return DirPath(s)
}

func logOutput(s string) error {
	if s == "syslog" || s == "stderr" {
		return nil
	}
	if filepath.IsAbs(s) {
		return FilePath(s)
	}
	return fmt.Errorf(`%q is not allowed, must be "syslog", "stderr" or the absolute path of a file`, s)
}

// Account accepts names as shadow-utils and directory services give them, and
// numbers. Whether it exists is found out when it is used.
func Account(s string) error {
	if n, err := strconv.ParseUint(s, 10, 64); (err == nil && n > maxUID) || errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is not the number of a user or group, must be 0 to %d", s, int64(maxUID))
	}
	if s == "" || len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ':' || r == '/' || r == 0x7f }) {
		return fmt.Errorf("%q is not a user or group name", s)
	}
	return nil
}

// FindUser returns the number of a user's name, or the number that it is.
func FindUser(name string) (uint32, error) {
	if n, err := number(name); err == nil {
		return n, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return number(u.Uid)
}

// FindGroup returns the number of a group's name, or the number that it is.
func FindGroup(name string) (uint32, error) {
	if n, err := number(name); err == nil {
		return n, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return number(g.Gid)
}

// number reads the number of an account. The last one means "unchanged" to chown(2).
func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n > maxUID {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// nodeName accepts what can follow node= without ending the field.
func nodeName(s string) error {
	if len(s) > 255 || !Printable(s) {
		return fmt.Errorf("%q is not a node name, must be 1 to 255 printable ASCII characters without spaces", s)
	}
	return nil
}

// Printable reports whether s has printable ASCII characters only, and no space.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// maxDataStreamPart is how long the parts of a data stream's name may be (ECS, data_stream.dataset, .namespace).
const maxDataStreamPart = 100

// dataStreamName accepts DATASET and DATASET-NAMESPACE, of characters that may be in the name of an index, which is in lower case, and
// of which ECS takes the hyphen for what is between the parts.
func dataStreamName(s string) error {
	dataset, namespace, both := strings.Cut(s, "-")
	for _, part := range []string{dataset, namespace} {
		if strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_.") != "" || len(part) > maxDataStreamPart {
			return errDataStream
		}
	}
	if dataset == "" || (both && namespace == "") {
		return errDataStream
	}
	return nil
}

var errDataStream = fmt.Errorf(`must be DATASET or DATASET-NAMESPACE, each 1 to %d of the characters a-z 0-9 _ . , as in "auditd_manager.auditd"`, maxDataStreamPart)

var (
	overflowActions = []string{"ignore", "syslog", "suspend", "single", "halt"}
	frameSizes      = []string{"auto", "exact", "padded"}
	nameFormats     = []string{"none", "hostname", "fqd", "numeric", "user"}
	nodeWords       = []string{"keep", "strip", "add"}
)

// maxRuleName bounds the name of a rule, below maxKeyLen: it stands in each event that the rule holds for.
const maxRuleName = 120

// ruleName says whether s can name a rule: it goes into log lines and events.
func ruleName(s string) bool {
	return s != "" && len(s) <= maxRuleName && utf8.ValidString(s) && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// sinkName says whether s can name a sink: it goes into log lines, metrics
// and file names.
func sinkName(s string) bool {
	return len(s) >= 1 && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !sinkRune(r) })
}

func sinkRune(r rune) bool {
	return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '_' || r == '-'
}
