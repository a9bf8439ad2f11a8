"""Reports: one or several runs as one HTML file that opens from disk and needs nothing else.

```python
from genlab.report import report

written = report(["latest"])
print(written.path, written.size)
```
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genlab.report.write import Written


def report(names: Sequence[str], out: Path | None = None) -> Written:
    """Write a report of these runs into `out`, or into report.html in the folder of the run or the sweep."""
    from genlab.report.write import write

    return write(names, out)
