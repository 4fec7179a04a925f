"""``python -m tests.providers``: the table, from a run."""

from __future__ import annotations

import logging

from .shapes import SHAPES
from .world import judged, open_world


def main() -> None:
    logging.disable(logging.WARNING)
    print("| provider | token | accepted | subject | scopes | rule | neighbours refused |")
    print("|---|---|---|---|---|---|---|")
    with open_world() as world:
        for shape in SHAPES:
            got = judged(world, shape)
            right = sum(got["neighbours"][one.label] == one.status for one in shape.neighbours)
            cells = (
                shape.provider,
                shape.token,
                got["status"],
                f"`{got['user']}`".replace("|", "\\|"),
                " ".join(got["scopes"] or ()) or "–",
                got["rule"],
                f"{right} of {len(shape.neighbours)}",
            )
            print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
