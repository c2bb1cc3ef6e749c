"""What tests share: units in Amaranth's own simulator, faults, refusals, a unit to try tools on."""
