package unix

// Processes returns the processes at the other ends.
func (d *Details) Processes() (pids []int) {
	if d.Pid != 0 {
		pids = append(pids, d.Pid)
	}
	for _, c := range d.Clients {
		pids = append(pids, c.Pid)
	}
	return pids
}
