"""The reference is what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cu.config import SECRETS, VARIABLES

ROOT = Path(__file__).parents[1]


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, "reference.py", "--check"], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_every_setting_that_the_code_reads_is_in_it() -> None:
    source = (ROOT / "cu" / "config.py").read_text()
    read = source[source.index("def load_settings") : source.index("def words")]

    assert set(re.findall(r'"(CU_[A-Z_]+)"', read)) == set(VARIABLES)
    assert set(re.findall(r'secret\("([A-Z_]+)"\)', read)) == set(SECRETS)
