"""Prints the folder of the generator's core: ``python -m rtl.fusesoc``."""

from pathlib import Path

if __name__ == "__main__":
    print(Path(__file__).parent)
