"""The docs lead where they say."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")


def test_every_relative_link_leads_somewhere() -> None:
    """A link to a file or folder of this repository exists."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_docs_name_no_place_of_one_machine() -> None:
    """No page carries a path of the machine it was written on."""
    places = ("/work/", "/root/")

    assert [str(page) for page in PAGES for place in places if place in page.read_text()] == []
