"""``serve``: run the app under gunicorn."""
