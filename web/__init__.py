"""The service over HTTP: REST API and dashboard."""
