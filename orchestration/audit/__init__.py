"""Where something came from and where it went: what an auditor asks."""
