"""The page `listen.html` beside exported files (pure): a player for each track, with its brief.

It needs no server and loads nothing but the audio files beside it. Everything from outside is
escaped, and the page's own policy forbids scripts.
"""

from html import escape
from urllib.parse import quote

from trackfarm.job_text import audio_note
from trackfarm.protocol.operator import JobInfo, TrackInfo
from trackfarm.text import clean, counted, one_line

MAX_PLAYERS = 10_000  # browsers lay out so many in about a second
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: light-dark(#555, #aaa) }
body { font: 1rem/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem }
h1 { font-size: 1.4rem; margin: 0 }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere }
p { margin: .2rem 0; overflow-wrap: anywhere }
.soft, a { color: var(--soft); font-size: .875rem }
article { border-top: 1px solid var(--line); padding: .7rem 0; display: grid; gap: .2rem 1rem;
  grid-template-columns: minmax(0, 1fr) minmax(16rem, 24rem); align-items: center;
  content-visibility: auto; contain-intrinsic-height: auto 6rem }
audio { width: 100% }
.player { text-align: right }
@media (max-width: 40rem) { article { grid-template-columns: minmax(0, 1fr) } }
""".strip()
_POLICY = "default-src 'none'; media-src 'self' file:; style-src 'unsafe-inline'"


def page_head(job: JobInfo) -> str:
    """Return the page up to its first track."""
    name = escape(clean(job.catalog))
    summary = escape(f"{counted(job.tracks.done, 'track')} by {job.model_set}, {job.id}")
    note = escape(audio_note(job.model_set, is_noise=job.is_noise))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{name}</title>
<style>
{_STYLE}
</style>
<h1>{name}</h1>
<p class="soft">{summary}</p>
<p class="soft">{note}</p>
"""


def page_entry(track: TrackInfo, file: str) -> str:
    """Return one track; `file` is its name in the page's folder."""
    title = escape(one_line(track.title or track.name or track.prompt))
    name, address = escape(file), escape(quote(file))
    return f"""<article>
<div>
<h2>{title}</h2>
<p>{escape(_facts(track))}</p>
<p class="soft">{escape(clean(track.prompt))}</p>
</div>
<div class="player">
<audio controls preload="none" src="{address}" aria-label="{title}"></audio>
<a href="{address}">{name}</a>
</div>
</article>
"""


def page_tail(left_out: int) -> str:
    """Return the end of the page, with the number of tracks that it does not show."""
    if not left_out:
        return "</html>\n"
    rest = f"{counted(left_out, 'more track')} beside this page; manifest.csv lists them all"
    return f'<p class="soft">{rest}</p>\n</html>\n'


def _facts(track: TrackInfo) -> str:
    """Return tempo, key, length and labels, as far as they are known."""
    seconds = round(track.artifact.seconds if track.artifact else track.duration)
    facts = [
        f"{track.bpm} bpm" if track.bpm else "",
        track.key_scale or "",
        f"{seconds // 60}:{seconds % 60:02d}",
        *(f"{tag}: {value}" for tag, value in sorted(track.tags.items())),
    ]
    return clean(" · ".join(filter(None, facts)))
