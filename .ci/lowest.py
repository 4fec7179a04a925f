"""Print the lowest versions that pyproject.toml allows of all that users install, for pip -c."""

import re
import sys
import tomllib
from pathlib import Path

EXTRAS = ("sql", "remote", "postgresql", "redis", "demo")

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for requirement in (*project["dependencies"], *(one for name in EXTRAS for one in extras[name])):
    name, lowest = re.match(r"([\w-]+)(?:\[\w+\])?(?:>=([\w.]+))?", requirement).groups()
    if name != project["name"]:
        sys.stdout.write(f"{name}=={lowest}\n")
