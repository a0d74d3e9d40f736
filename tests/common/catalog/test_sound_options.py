from trackfarm.catalog import Brief


def test_sound_options_with_their_defaults_make_the_brief_without_them() -> None:
    plain = Brief.model_validate({"prompt": "x", "duration": 10})
    same = {"dcw_mode": "double", "dcw_scaler": 0.05, "repaint_mode": "balanced"}
    assert Brief.model_validate({"prompt": "x", "duration": 10, **same}).canonical() == (
        plain.canonical()
    )
    for other in ({"dcw_enabled": "off"}, {"dcw_scaler": 0.1}):
        brief = Brief.model_validate({"prompt": "x", "duration": 10, **other})
        assert brief.canonical() != plain.canonical()
        assert Brief.model_validate_json(brief.canonical()) == brief
