// Command picture helps packaging/pictures.sh to make the pictures in docs:
//
//	picture feed    writes a capture to stdout again and again, with the present time, faster
//	                and slower in turn, until nothing reads it
//	picture svg     makes a picture of what `tmux capture-pane -e -p` printed, from stdin to stdout
//	picture graphs ADDRESS DASHBOARD SECONDS
//	                draws the panels of a dashboard from the last seconds of a Prometheus, to stdout
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 1 && args[0] == "feed":
		return feed(out)
	case len(args) == 1 && args[0] == "svg":
		text, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		w := bufio.NewWriter(out)
		writeSVG(w, string(text))
		return w.Flush()
	case len(args) == 4 && args[0] == "graphs":
		return graphs(out, args[1], args[2], args[3])
	}
	return errors.New("want one of: feed, svg, graphs ADDRESS DASHBOARD SECONDS")
}
