"""A page as a person sees it: rendered by headless Chromium, and read off what was rendered."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

COMMAND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
]  # fmt: skip
# innerText is what is rendered; colours and boxes are as computed
LOOK = """<script>addEventListener("load", () => {
  const rgb = one => getComputedStyle(one).color, page = getComputedStyle(document.body)
  const seen = {
    text: document.body.innerText, width: innerWidth, scroll: document.documentElement.scrollWidth,
    paper: page.backgroundColor, ink: page.color, quiet: rgb(document.querySelector(".quiet")),
    good: [...document.querySelectorAll(".good")].map(rgb),
    images: [...document.images].map(one => [one.naturalWidth, one.getBoundingClientRect().width]),
    headings: [...document.querySelectorAll("h1, h2")].map(one => [one.innerText, one.getBoundingClientRect().top]),
    charts: [...document.querySelectorAll("svg")].map(one => [one.getAttribute("aria-label"), one.getBoundingClientRect().height]),
    anchors: [...document.querySelectorAll("nav a")].every(one => document.querySelector(one.getAttribute("href"))),
  }
  const note = document.createElement("pre"); note.id = "seen"; note.textContent = JSON.stringify(seen); document.body.append(note)
})</script>"""  # noqa: E501


def look(page: Path, folder: Path, width: int = 1100, dark: bool = False) -> dict[str, Any]:
    """What is seen of an HTML file in a window so wide, in light or dark mode."""
    if COMMAND is None:
        if os.environ.get("LLDIF_BROWSER") == "required":
            pytest.fail("no chromium here, and LLDIF_BROWSER=required")
        pytest.skip("no chromium on this machine: apt-get install chromium")
    watched = folder / "watched.html"
    watched.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    place = [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1200", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [COMMAND, *QUIET, *scheme, *place, "--dump-dom", watched.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, "the page did not finish loading"
    return json.loads(html.unescape(found[1]))


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of two colours as a browser writes them: 4.5 is what text needs."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    levels = [int(level) / 255 for level in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
