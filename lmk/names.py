"""Names of images: relative to the dataset's folder, with `/`, and never out of it.

What a set names is opened, cropped and shown in the report; a name or a link that leads out of the folder would show
files that nobody meant to share.  Many datasets are folders of links, so a user may allow these; names never lead out.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lmk.errors import DataError

Links = Literal["refuse", "follow"]  # what is done with a link that leads out of the folder
_REFUSED = {
    r"": "has no name",
    r"/.*": "is an absolute name",
    r"[A-Za-z]:.*": "starts with a drive",
    r".*\\.*": "has a backslash in its name",
    r".*\0.*": "has a NUL in its name",
    r".*[\ud800-\udfff].*": "has characters in its name that are no text",
    r"(.*/)?\.\.(/.*)?": "leads out of the folder",
    r".*//.*|.*/": "has an empty part in its name",
}
_REFUSED_PATTERN = re.compile("|".join(_REFUSED), re.DOTALL)


def check_names(names: Iterable[str | None], where: str) -> None:
    """Refuse names that are not of a file below the dataset's folder, as text; nothing is looked up on disk."""
    for name in names:
        text = name if isinstance(name, str) else ""
        if _REFUSED_PATTERN.fullmatch(text):
            what = next(says for pattern, says in _REFUSED.items() if re.fullmatch(pattern, text, re.DOTALL))
            raise DataError(
                f"{where}: image {name!r} {what}; name each image relative to the dataset's folder, with / between "
                "its parts: faces/a.jpg"
            )


def check_inside(file: Path, root: Path) -> None:
    """Refuse a file that is a link, or lies behind one, to a place outside of a folder."""
    true = file.resolve()
    if not true.is_relative_to(root.resolve()):
        raise DataError(
            f"{file}: a link that leads out of {root}, to {true}; put there what it points to, name a folder that "
            "holds both, or, if you trust whoever made it, allow links with --set data.links=follow"
        )


@dataclass(frozen=True)
class Folder:
    """A dataset's folder, or its one file, as a user named it: the door to every file that a name in a set leads to."""

    path: Path
    links: Links = "refuse"
    images: Path | None = None  # the folder that names of images start from, where it is not the labels'

    @property
    def root(self) -> Folder:
        """The folder that names of images start from: as the user says, else this one, or the one a file lies in."""
        if self.images is not None:
            return Folder(self.images, self.links)
        return Folder(self.path.parent, self.links) if self.path.is_file() else self

    def check(self, file: Path) -> None:
        """Refuse a link that leads out of the folder, where the user has not allowed these."""
        if self.links == "refuse":
            check_inside(file, self.path)

    def file(self, name: str) -> Path:
        """The file of a name, which stays in the folder.

        Letters such as é are one character on some systems and two on others (NFC and NFD), and labels are carried from
        one to the other: a name that is not there is looked for in the other form.
        """
        check_names([name], str(self.path))
        found = self.path / name
        if not os.path.lexists(found):  # unlike Path.exists it says no of a name that is too long
            forms = (self.path / unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
            found = next((other for other in forms if os.path.lexists(other)), found)
        self.check(found)
        return found


AnyFolder = Folder | Path  # a path alone allows no links


def as_folder(folder: AnyFolder) -> Folder:
    """The folder, with what is allowed in it."""
    return folder if isinstance(folder, Folder) else Folder(folder)
