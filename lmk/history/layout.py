"""What the tables of all iterations are: their columns, and the views that put them together.

What is the same for all points of an instance, or for all points of a landmark, is stored once, and so is what follows
from other columns.  docs/audit.md lists the columns.
"""

from __future__ import annotations

from lmk.annotations import COLUMNS, EVIDENCE, UNIT
from lmk.history.findings import FINDINGS, PARTS

_SQL = {
    "string": "VARCHAR", "int32": "INTEGER", "int16": "SMALLINT", "int8": "TINYINT", "uint8": "UTINYINT",
    "float32": "FLOAT", "float64": "DOUBLE", "bool": "BOOLEAN",
}  # fmt: skip
TAKEN = ("landmark", "visibility", "x", "y")
# One row a point and iteration; `object` numbers the instances in the order of the set.
MOVES: dict[str, str] = {
    "iteration": "VARCHAR",
    "object": "INTEGER",
    **{name: _SQL[COLUMNS[name]] for name in TAKEN},
    "human_x": "DOUBLE",
    "human_y": "DOUBLE",
    "along": "FLOAT",
    "across": "FLOAT",
    "step": "FLOAT",
    "searched": "BOOLEAN",
    "reversed": "BOOLEAN",
    "crossing": "BOOLEAN",
    **{name: _SQL[kind] for name, kind in EVIDENCE.items()},
}
INSTANCES: dict[str, str] = {
    "iteration": "VARCHAR",
    "object": "INTEGER",
    **{name: _SQL[COLUMNS[name]] for name in ("image", "instance", *PARTS)},
    "box": "FLOAT",
    "points": "INTEGER",
    "drift": "FLOAT",
    "percent": "FLOAT",
    "asymmetry": "FLOAT",
    "shape_distance": "FLOAT",
    "swapped": "BOOLEAN",
    "has_image": "BOOLEAN",
}
LANDMARKS: dict[str, str] = {"landmark": "SMALLINT", "name": "VARCHAR", "contour": "VARCHAR"}
DECISIONS: dict[str, str] = {
    "iteration": "VARCHAR",
    "number": "INTEGER",
    "image": "VARCHAR",
    "instance": "INTEGER",
    "landmark": "SMALLINT",
    "action": "VARCHAR",
    "x": "DOUBLE",
    "y": "DOUBLE",
    "visibility": "UTINYINT",
    "decided_by": "VARCHAR",
    "why": "VARCHAR",
}
TABLES = {
    "moves": MOVES, "instances": INSTANCES, "landmarks": LANDMARKS, "findings": FINDINGS, "decisions": DECISIONS,
}  # fmt: skip
POINTS = f"""
CREATE VIEW points AS
WITH shifted AS (
    SELECT *, x - human_x AS to_right, y - human_y AS to_below,
           sqrt(to_right * to_right + to_below * to_below) AS apart
    FROM moves
)
SELECT m.iteration, i.image, i.instance, m.landmark, n.name, n.contour, i."split", i.annotator, i.source, m.visibility,
       m.x, m.y, m.human_x, m.human_y, i.box, to_right::FLOAT AS dx, to_below::FLOAT AS dy, apart::FLOAT AS drift,
       (100 * apart / i.box)::FLOAT AS percent, along, across, step, searched,
       m.searched AND NOT i.swapped AND apart IS NOT NULL AS counted,
       coalesce(apart <= {UNIT}, false) AS unchanged, reversed, crossing, i.swapped,
       d.landmark IS NOT NULL AS decided,
       {", ".join(f"m.{name}" for name in EVIDENCE)}
FROM shifted AS m JOIN instances AS i USING (iteration, object) JOIN landmarks AS n USING (landmark)
LEFT JOIN (SELECT DISTINCT image, instance, landmark FROM decisions) AS d
    ON d.image = i.image AND d.instance = i.instance AND d.landmark = m.landmark
"""
# What holds of every point: a decision, else the last iteration.
LABELS = """
CREATE VIEW labels AS
WITH standing AS (
    SELECT * FROM decisions
    QUALIFY row_number() OVER (PARTITION BY image, instance, landmark ORDER BY number DESC, iteration DESC) = 1
)
SELECT image, instance, landmark, name, contour, "split", p.human_x, p.human_y,
       CASE WHEN d.action = 'remove' THEN NULL ELSE coalesce(d.x, p.x) END AS x,
       CASE WHEN d.action = 'remove' THEN NULL ELSE coalesce(d.y, p.y) END AS y,
       coalesce(d.action, CASE WHEN p.searched THEN 'refined' ELSE 'human' END) AS rule,
       coalesce(d.iteration, p.iteration) AS iteration, d.decided_by, d.why
FROM points AS p LEFT JOIN standing AS d USING (image, instance, landmark)
WHERE p.iteration = '{last}'
"""
