"""The values printed in the paper, by table, data set, method, training data and column."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_concepts.errors import UserError, one_line

DATASETS = {
    "voc21": "VOC21",
    "cityscapes": "Cityscapes",
    "coco_stuff": "COCO-Stuff",
    "ade20k": "ADE20k",
    "coco_object": "COCO-Object",
    "context60": "Pascal Context",
}
"""The paper's names of the data sets it evaluates, in the order of Table 7."""

ABLATED = {"MaskCLIP": "WIT400M", "CLIP-DINOiser": "Laion2B", "TCL": "TCL(own)", "GEM": "MetaCLIP"}
"""Training data for Tables 2a and 2b, which print only the method. Their values are in these rows of Table 1."""

STEPS = {"no filtering": "no filtering", "+ abstract": "+ visible", "+ semantic similarity": "CC_D"}


@dataclass(frozen=True)
class PublishedValue:
    """One value in the paper, in percent. original: with the method's own background handling (the asterisk)."""

    value: float
    original: bool = False


class Published:
    """The values in `resources/paper_tables.json`."""

    def __init__(self, path: Path) -> None:
        try:
            tables = {table["number"]: table for table in json.loads(path.read_text(encoding="utf-8"))["tables"]}
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path}: not the paper's tables ({one_line(error)})") from None
        self._values: dict[tuple[str, str, str, str, str], PublishedValue] = {}
        for row in tables["1"]["rows"]:
            for dataset in DATASETS.values():
                self._add_row("1", dataset, row, row.get(dataset) or {})
        for dataset, rows in tables["7"]["datasets"].items():
            for row in rows:
                self._add_row("7", dataset, row, row)
        self._add_table_2(tables)
        for number, threshold in (("4", "gamma"), ("4", "delta"), ("5", "beta")):
            for row in tables[number]["rows"]:
                values = row["values"] if threshold == "beta" else row[threshold]
                for step, value in zip(tables[number][threshold], values, strict=True):
                    self._add(number, threshold, row["method"], row["clip"], f"{step:g}", value)

    def value(self, table: str, group: str, method: str, training_data: str, column: str) -> PublishedValue | None:
        """The published value, None if there is none. TCL's training data is always its own.

        group: the paper's name of a data set, or the threshold of Tables 4 and 5."""
        trained = "TCL(own)" if method == "TCL" else training_data
        return self._values.get((table, group, method, trained, column))

    def _add_row(self, table: str, dataset: str, row: dict[str, Any], cells: dict[str, Any]) -> None:
        for column in ("original", "oracle", "BG", "CC_L", "CC_D"):
            cell = cells.get(column)
            if cell is not None:
                place = (table, dataset, row["method"], row["clip_training_data"], column)
                self._values[place] = PublishedValue(cell["value"], cell["original_bg_handling"])

    def _add_table_2(self, tables: dict[str, Any]) -> None:
        for row in tables["2a"]["rows"]:
            for method, data in ABLATED.items():
                value = row[method.replace("-", "_")]
                self._add("2a", "ADE20k", method, data, STEPS[row["step"]], value)
        for row in tables["2b"]["rows"]:
            for dataset in ("Cityscapes", "ADE20k"):
                for column, name in (("CC_L only", "CC_L_only"), ("CC_L", "with_BG")):
                    self._add("2b", dataset, row["method"], ABLATED[row["method"]], column, row[dataset][name])
        for row in tables["2c"]["rows"]:
            for column in ("BG", "CC_L", "CC_D"):
                self._add("2c", "VOC21", "MaskCLIP", row["clip"], column, row[column])

    def _add(self, table: str, group: str, method: str, training_data: str, column: str, value: float | None) -> None:
        if value is not None:
            self._values[table, group, method, training_data, column] = PublishedValue(value)
