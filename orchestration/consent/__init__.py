"""Consent as data: who withdrew it, what descends from their images, what is done about it, and the receipt."""
