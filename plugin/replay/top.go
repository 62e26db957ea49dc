package replay

import (
	"context"

	"audisp-relay/audit/stream"
	"audisp-relay/plugin/top"
)

// Top counts what makes the volume of stored streams, files as those of Stored.Inputs. exe is how
// the relay itself is called in them.
func Top(ctx context.Context, inputs []string, exe string) (*top.Report, stream.Counts, error) {
	var in stream.Counts
	counts := top.NewStored(exe)
	for _, name := range inputs {
		n, bad, err := readInput(ctx, name, nil, counts.Put)
		n.NoID += bad // a line that is no event says as little
		in.Add(n)
		if err != nil {
			return nil, in, err
		}
	}
	return counts.Report(), in, nil
}
