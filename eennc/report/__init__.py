"""report.html: one page, without scripts or anything from elsewhere, that shows what report.json holds."""

from eennc.report.page import write_page

__all__ = ["write_page"]
