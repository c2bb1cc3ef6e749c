"""Measured tables of the documentation, activity, speed."""
