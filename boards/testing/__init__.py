"""What the tests of boards share: a simulated processor, memory and serial port."""
