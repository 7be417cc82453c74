"""Behaviour through the real kernel."""
