"""Extraction of examples from a page, and replacement of their placeholders."""

import subprocess
from pathlib import Path

from tests.examples.fences import command, fences, program

PAGE = """
```bash
echo https://farm.example your-key
```

<!-- not run: it needs a machine with a GPU -->

```python
raise SystemExit(1)
```

```console
$ trackfarm jobs
```

- ```bash
  false
  ```
"""


def test_fences_have_place_language_and_excuse(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    examples = fences(tmp_path / "page.md")
    assert [(f.line, f.language, f.excuse) for f in examples] == [
        (3, "bash", None),
        (9, "python", "it needs a machine with a GPU"),
        (17, "bash", None),
    ]


def test_program_names_the_example_that_failed(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    script = tmp_path / "all.bash"
    shell = [f for f in fences(tmp_path / "page.md") if f.language == "bash"]
    script.write_text(program(shell, "http://127.0.0.1:1", "a-key"))
    done = subprocess.run(command("bash", script), capture_output=True, text=True, check=False)
    assert done.stdout == "http://127.0.0.1:1 a-key\n"
    assert (done.returncode, done.stderr) == (1, "--- page.md:3\n--- page.md:17\n")
