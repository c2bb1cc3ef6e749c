"""A unit behind a serial line: the protocol, the hardware at one end, the host at the other."""
