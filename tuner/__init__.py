"""Trimtab: measures real trials of a job, searches configurations, proves and applies the best."""
