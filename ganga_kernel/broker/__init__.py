"""The broker: one process per user that owns Ganga, the jobs and what they said. It knows no Jupyter."""
