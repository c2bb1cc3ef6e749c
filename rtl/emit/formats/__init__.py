"""Texts of a register map in other languages."""
