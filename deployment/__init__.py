"""ON WHICH DEVICES a job runs."""
