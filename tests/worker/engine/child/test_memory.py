from pathlib import Path

from trackfarm_worker.engine.child.memory import MemoryLevel, MemoryLevelStore, degrade

TOP = MemoryLevel(pass_seconds=None, window=512, offload=False)


def test_degrade_lowers_levels_in_one_order() -> None:
    levels, level, tracks = [], TOP, 8
    pass_seconds = 480.0
    current: MemoryLevel | None = level
    while current:
        levels.append(current)
        current = degrade(current, tracks=tracks, pass_seconds=pass_seconds, can_offload=True)
        tracks, pass_seconds = max(1, tracks // 2), pass_seconds / 2
    assert [(r.pass_seconds, r.window, r.offload) for r in levels] == [
        (None, 512, False),
        (240.0, 512, False),
        (120.0, 512, False),
        (60.0, 512, False),
        (60.0, 256, False),
        (60.0, 128, False),
        (60.0, 64, False),
        (60.0, 64, True),
    ]


def test_degrade_without_offloading_is_exhausted_earlier() -> None:
    last = MemoryLevel(pass_seconds=1.0, window=64, offload=False)
    assert degrade(last, tracks=1, pass_seconds=1.0, can_offload=False) is None


def test_store_keeps_one_level_per_device_and_model_set(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    one, two = MemoryLevelStore(path, "cpu tiny@1"), MemoryLevelStore(path, "H200 xl@1")
    assert one.load() is None
    level = MemoryLevel(pass_seconds=60.0, window=128, offload=True)
    one.save(level)
    two.save(TOP)
    assert MemoryLevelStore(path, "cpu tiny@1").load() == level
    assert MemoryLevelStore(path, "H200 xl@1").load() == TOP


def test_store_ignores_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    for text in ("", "[]", '{"cpu": {"seconds": "many"}}'):
        path.write_text(text)
        assert MemoryLevelStore(path, "cpu").load() is None
    MemoryLevelStore(path, "cpu").save(TOP)
    assert MemoryLevelStore(path, "cpu").load() == TOP
