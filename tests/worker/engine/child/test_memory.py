from pathlib import Path

from trackfarm_worker.engine.child.memory import Memory, MemoryLevel, degrade

TOP = MemoryLevel(seconds=None, window=512, offload=False)


def test_the_ladder_has_one_order() -> None:
    rungs, rung, tracks = [], TOP, 8
    weight = 480.0
    found: MemoryLevel | None = rung
    while found:
        rungs.append(found)
        found = degrade(found, tracks=tracks, weight=weight, can_offload=True)
        tracks, weight = max(1, tracks // 2), weight / 2
    assert [(r.seconds, r.window, r.offload) for r in rungs] == [
        (None, 512, False),
        (240.0, 512, False),
        (120.0, 512, False),
        (60.0, 512, False),
        (60.0, 256, False),
        (60.0, 128, False),
        (60.0, 64, False),
        (60.0, 64, True),
    ]


def test_a_device_that_cannot_offload_is_exhausted_earlier() -> None:
    last = MemoryLevel(seconds=1.0, window=64, offload=False)
    assert degrade(last, tracks=1, weight=1.0, can_offload=False) is None


def test_each_device_and_model_set_has_its_own_rung(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    one, two = Memory(path, "cpu tiny@1"), Memory(path, "H200 xl@1")
    assert one.recall() is None
    rung = MemoryLevel(seconds=60.0, window=128, offload=True)
    one.remember(rung)
    two.remember(TOP)
    assert Memory(path, "cpu tiny@1").recall() == rung
    assert Memory(path, "H200 xl@1").recall() == TOP


def test_a_file_that_cannot_be_read_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    for text in ("", "[]", '{"cpu": {"seconds": "many"}}'):
        path.write_text(text)
        assert Memory(path, "cpu").recall() is None
    Memory(path, "cpu").remember(TOP)
    assert Memory(path, "cpu").recall() == TOP
