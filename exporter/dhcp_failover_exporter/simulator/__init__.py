"""Simulated Windows DHCP servers behind a real WinRM wire. Imports nothing of the exporter."""
