"""Trimtab: measures real trials of a job, searches its configurations, proves and applies the best."""
