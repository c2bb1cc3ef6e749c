"""Packages of an emitted unit for build systems and vendors' tools."""
