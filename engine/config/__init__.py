"""Configuration: jobs, flags, job.json, and which value wins."""
