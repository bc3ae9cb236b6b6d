"""Deployment: the devices and processes that a job runs on."""
