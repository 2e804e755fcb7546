"""The report as one HTML page for the eyes; see `render`."""

from __future__ import annotations

from .render import page as page
