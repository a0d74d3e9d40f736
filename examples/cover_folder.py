"""Make a cover of every audio file in a folder. tinytag comes with `trackfarm[scheduler]`.

python examples/cover_folder.py recordings "bossa nova" covers --model-set acestep-v15-turbo
"""

import argparse
from pathlib import Path

from tinytag import TinyTag

from trackfarm import Catalog, Farm

KINDS = {".flac", ".mp3", ".ogg", ".opus", ".wav"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("prompt")
    parser.add_argument("covers", type=Path)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--model-set")
    arguments = parser.parse_args()
    files = sorted(f for f in arguments.recordings.iterdir() if f.suffix.lower() in KINDS)
    catalog = Catalog.from_rows(
        ({"src_audio": f.name, "duration": TinyTag.get(f).duration, "name": f.stem} for f in files),
        name=f"covers of {arguments.recordings.name}: {arguments.prompt}",
        model_set=arguments.model_set,
        folder=arguments.recordings,
        defaults={
            "prompt": arguments.prompt,
            "task_type": "cover",
            "audio_cover_strength": arguments.strength,
        },
    )
    with Farm() as farm:
        job = farm.submit(catalog).wait(progress=True)
        report = job.download(arguments.covers)
    print(
        f"{job.id} is {job.state.value}: {report.files} of {len(files)} covers in {arguments.covers}"
    )


if __name__ == "__main__":
    main()
