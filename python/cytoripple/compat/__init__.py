"""Stand-ins for other packages: same names, same defaults, same numbers."""
