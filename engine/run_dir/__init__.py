"""The run folder: its lock, status files, CSV logs and event files."""
