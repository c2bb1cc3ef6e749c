"""FuseSoC generator: cores name a unit and its parameters, and get its Verilog.

``python -m rtl.fusesoc`` prints the folder of the generator's core, for ``fusesoc library add``.
"""
