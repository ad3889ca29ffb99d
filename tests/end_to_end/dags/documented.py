"""The DAG of the README, word for word, for Airflow."""

import re
from pathlib import Path

README = Path(__file__).parents[3] / "README.md"
SNIPPET = re.compile(r"^```python dag\n(.*?)^```$", re.MULTILINE | re.DOTALL)

for snippet in SNIPPET.findall(README.read_text()):
    exec(compile(snippet, README, "exec"))
