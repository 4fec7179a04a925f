"""``python -m jwt_middleware`` is ``jwt-middleware``."""

from .cli import main

main()
