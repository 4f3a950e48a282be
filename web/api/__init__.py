"""The routes under `/api/v1`, one small router per noun."""
