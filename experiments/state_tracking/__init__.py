"""Which cells track state over longer sequences than they were trained on: parity, modular arithmetic, cycles."""
