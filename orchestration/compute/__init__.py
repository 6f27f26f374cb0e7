"""Devices: who asks for them, who holds them, what they cost, and what the dead leave behind."""
