"""Contents of catalog files that several commands read."""

GOOD = "prompt,duration,name\ncalm [piano],30,lobby\nfast drums,20,gym\n"
DEMO_ROWS = """prompt,duration,bpm,lyrics,task_type,src_audio
jazz trio,30,90,,,
gamelan at dawn,30,160,la la,,
taiko at night,30,,,,
"""
COVER_ROW = "swing,30,,,cover,https://example.org/a.mp3\n"
