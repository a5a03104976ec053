"""Fixed and slow points of networks trained on the 3-bit flip-flop (Sussillo & Barak 2013)."""
