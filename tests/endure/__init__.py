"""Tasks in a pool whose daemons are killed: all of it."""
