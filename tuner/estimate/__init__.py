"""Formulas that predict what a configuration does before it is tried, and their calibration."""
