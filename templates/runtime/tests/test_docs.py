"""The samples of docs/runtime.md run as they stand."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "runtime.md"


@pytest.mark.usefixtures("cu_eager")
def test_every_sample_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(samples) >= 3
    source = tmp_path / "samples.py"
    source.write_text("\n".join(samples))
    module = types.ModuleType("samples")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, "samples", module)

    exec(compile(source.read_text(), str(source), "exec"), module.__dict__)

    assert module.__dict__["surface"]([2.0, 3.0]) == 5.0
