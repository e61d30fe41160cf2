"""Breaking a running system on purpose, with real processes, sockets and disks, and proving afterwards that no money was hurt."""
