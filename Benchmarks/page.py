"""The page that shows figures: what stands between two marks is a benchmark's to replace."""

import pathlib


def replace(page: pathlib.Path, begin: str, end: str, text: str):
    """Puts `text` between the marks. SystemExit when one is gone; the page stays as it is then."""
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise SystemExit(f"report: {page} lost its marks {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")
