"""From components to files: Verilog text, Yosys, area and delay."""
