"""How close do models come to the exact entropy rate of an artificial language?"""
