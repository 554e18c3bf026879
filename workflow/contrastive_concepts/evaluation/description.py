"""What the jobs of a benchmark need to know of a data set, without opening it."""

from pydantic import BaseModel


class DatasetDescription(BaseModel):
    """Class names by label, the labels that are asked for, and the images in their order."""

    kind: str
    classes: list[str]
    queries: list[int]
    images: list[str]

    @property
    def query_names(self) -> list[str]:
        return [self.classes[label] for label in self.queries]
