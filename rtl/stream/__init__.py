"""Streams of rows: the beat, queues, stores, and the handshake of a unit."""
