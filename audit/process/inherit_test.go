package process

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"audisp-relay/audit/record"
)

// TestLabelsByArguments: arguments give labels and take them away, as far as they are known.
func TestLabelsByArguments(t *testing.T) {
	l := new(Labels)
	for _, err := range []error{
		l.Add(OfCmdline, `^\S*java .*-Dweb`, "web"), l.Add(OfCmdline, `^(tar|/bin/sh /x/y) `, "tar"), l.Add(OfExe, `/java$`, "java"),
		l.Take(OfCmdline, `--visible`, "java"), l.PassOn("web"), l.PassOn("java"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", maxArgs)
	for _, tt := range []struct {
		name string
		do   func(x *Table)
		want string // the labels of 101, a child of 100
	}{
		{"given", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/java", "java", "-Dweb") }, "web java"},
		{"in another order", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/java", "-Dweb", "java") }, "java"},
		{"taken away", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/java", "java", "-Dweb", "--visible") }, "web"},
		{"too many arguments to say what they take away", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/java", "java", "-Dweb", long) }, "web"},
		{"an argument that does not fit follows", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/tar", "tar", long) }, "tar"},
		{"none follows", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/tar", "tar") }, ""},
		{"the first does not fit", func(x *Table) { exec(x, at(1, 11), 100, 101, "/bin/java", long) }, ""},
		{"not known of a call", func(x *Table) { give(x, at(1, 11), syscall(sysOpen, 3, 0, 100, 101, "/bin/java")) }, ""},
		{"without their record", func(x *Table) { give(x, at(1, 11), syscall(sysExec, 0, 0, 100, 101, "/bin/java")) }, ""},
		{"of the parent", func(x *Table) {
			exec(x, at(1, 11), 1, 100, "/bin/java", "java", "-Dweb")
			exec(x, at(2, 12), 100, 101, "/bin/a", "x")
		}, "web java"},
		{"of the parent, and taken away", func(x *Table) {
			exec(x, at(1, 11), 1, 100, "/bin/java", "java", "-Dweb")
			exec(x, at(2, 12), 100, 101, "/bin/a", "x", "--visible")
		}, "web"},
		{"of a fork", func(x *Table) {
			exec(x, at(1, 11), 1, 100, "/bin/tar", "tar", "x")
			give(x, at(2, 12), syscall(sysClone, 101, 0x11, 1, 100, "/bin/tar"))
			give(x, at(3, 13), syscall(sysOpen, 3, 0, 100, 101, "/bin/tar"))
		}, "tar"},
		{"of the program before", func(x *Table) {
			exec(x, at(1, 11), 100, 101, "/bin/tar", "tar", "x")
			exec(x, at(2, 12), 100, 101, "/bin/java", "java")
		}, "java"},
		{"with a script", func(x *Table) {
			execOf(x, at(1, 11), 101, "/bin/sh", "/", []string{"/bin/sh", "/x/y", "-v"}, "/x/y", "/bin/sh", "/lib/ld.so")
		}, "tar"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{Labels: l})
			quiet(x, 1, 10)
			exec(x, at(0, 10), 1, 100, "/bin/sh", "sh")
			tt.do(x)
			for range 2 { // found out and kept
				if got := labelsAt(x, at(4000, 99), 100, 101); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
			}
			checkTable(t, x)
		})
	}
}

// TestLabelsByArgumentsTakeNoLonger: where expressions have taken their share of a second, arguments say nothing until the next
// one; in a stored stream they may take as long as they do.
func TestLabelsByArgumentsTakeNoLonger(t *testing.T) {
	for _, live := range []bool{false, true} {
		x := NewTable(Options{Labels: testLabels(t)})
		x.o.Live = live
		x.reuse.note(sample{Millis: start, Last: 500, Max: 1 << 22})
		clock := time.Unix(1_700_000_000, 0)
		x.now = func() time.Time { clock = clock.Add(argsTime); return clock } // each look takes all of it
		exec(x, at(1, 11), 1, 100, "/bin/tool 2", "x", "-Dweb")
		exec(x, at(2, 12), 1, 101, "/bin/tool 2", "x", "-Dweb")
		want := "two web"
		if live {
			want = "two"
		}
		if got := labelsAt(x, at(3, 13), 1, 101); got != want {
			t.Errorf("live %v: %q, want %q", live, got, want)
		}
		clock = clock.Add(time.Second)
		if got := labelsAt(x, at(3, 13), 1, 101); got != "two web" {
			t.Errorf("live %v, a second later: %q", live, got)
		}
	}
}

// TestOtherLabelsByArguments: a reload finds out again what arguments do.
func TestOtherLabelsByArguments(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	exec(x, at(0, 10), 1, 100, "/bin/a", "x", "-Dweb", "-Dother")
	other := new(Labels)
	for _, err := range []error{other.AddKey("a"), other.AddKey("b"), other.Add(OfCmdline, "-Dother", "c")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		labels *Labels
		want   string
	}{{testLabels(t), "web"}, {other, "c"}, {nil, ""}, {testLabels(t), "web"}} {
		x.SetLabels(tt.labels)
		if got := labelsAt(x, at(9, 19), 1, 100); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestNoLabelComesBack: what a program took away stays away when that program is forgotten and the labels are found out again.
func TestNoLabelComesBack(t *testing.T) {
	x := NewTable(Options{Labels: testLabels(t)})
	exec(x, at(0, 10), 1, 100, "/bin/tool 1", "x")
	exec(x, at(1, 11), 100, 101, "/bin/tool 3", "x")
	n := 0
	for ; n < 2*maxPrograms; n++ {
		exec(x, at(int64(2+n), uint32(12+n)), 100, 101, fmt.Sprint("/bin/", n), "x")
	}
	other := testLabels(t)
	if err := other.AddKey("other"); err != nil {
		t.Fatal(err)
	}
	for _, labels := range []*Labels{testLabels(t), other} {
		x.SetLabels(labels)
		if got := labelsAt(x, at(1000, uint32(12+n)), 100, 101); got != "" {
			t.Errorf("%q", got)
		}
	}
	checkTable(t, x)
}

// TestLabelsAfterLateRecords: what comes late has its place in what others inherit, whether somebody asked before or not.
func TestLabelsAfterLateRecords(t *testing.T) {
	for _, tt := range []struct {
		name   string
		asked  bool
		passes int64 // ms until it comes
	}{{"soon", false, 1}, {"soon, and asked before", true, 1}, {"from audit.log", false, 60_000}, {"from audit.log, and asked before", true, 60_000}} {
		t.Run(tt.name, func(t *testing.T) {
			x := NewTable(Options{Labels: testLabels(t)})
			quiet(x, 1, 10)
			exec(x, at(2, 12), 1, 100, "/bin/tool 1", "x")   // after serial 11, which is missing
			exec(x, at(3, 13), 100, 101, "/bin/a", "x")      // so nobody knows that it ran something before
			exec(x, at(4, 14), 101, 102, "/bin/tool 2", "x") // and this one inherits from it
			quiet(x, 15, 15)
			var e event
			e.add(record.TypeCWD, at(4+tt.passes, 16), "", `cwd="/"`)
			x.Note(&e.Batch)
			if tt.asked {
				if a, b := labelsAt(x, at(9, 16), 100, 101), labelsAt(x, at(9, 16), 101, 102); a != "one" || b != "one two" {
					t.Errorf("before: %q, %q", a, b)
				}
			}
			exec(x, at(1, 11), 100, 101, "/bin/tool 3", "x") // which takes away what it inherits
			if a, b := labelsAt(x, at(9, 16), 100, 101), labelsAt(x, at(9, 16), 101, 102); a != "" || b != "two" {
				t.Errorf("%q, %q", a, b)
			}
			checkTable(t, x)
		})
	}
}
