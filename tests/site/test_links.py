"""Every link within the site leads somewhere: to a page, to a place in a page, to a picture or to a file."""

from pathlib import Path

import pytest

from links import anchors, broken, pages


def test_no_link_within_the_site_is_broken(site: Path) -> None:
    found = {
        str(page.relative_to(site)): faults
        for page in pages(site)
        if (faults := sorted({link for link in anchors(page).links if broken(page, link)}))
    }
    assert found == {}
    # An address without a scheme would be another site's over http, and nobody's from disk.
    assert [link for page in pages(site) for link in anchors(page).links if link.startswith("/")] == []


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [("b.html", False), ("b.html#there", False), ("b.html#not-there", True), ("c.html", True), ("#here", False)],
)
def test_a_broken_link_is_noticed(tmp_path: Path, link: str, is_broken: bool) -> None:
    (tmp_path / "a.html").write_text('<p id="here">')
    (tmp_path / "b.html").write_text('<p id="there">')
    assert broken(tmp_path / "a.html", link) == is_broken
