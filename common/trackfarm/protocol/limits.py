"""Limits that both sides of the API keep."""

SOURCE_BYTES = 100_000_000  # 600 s of 16-bit stereo WAV at 48 kHz are 115 MB: send those as FLAC
MAX_INVITATION_SECONDS = 31 * 86_400
