"""What Linux on a Zynq needs of a unit: image of the logic, device tree, boot image."""
