"""Projects for boards with a Zynq-7000: Vivado, and openXC7 where it has the device."""
