"""``serve``: the app under gunicorn."""
