"""The client of another maker runs in an environment of its own: here it cannot even be imported."""

collect_ignore = ["simulator_client.py"]
