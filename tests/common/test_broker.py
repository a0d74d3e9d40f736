"""Queue names, and the Celery settings that leases depend on."""

from trackfarm.broker import celery_app, queue_name, transport_options


def test_queue_name_joins_tier_model_set_and_worker() -> None:
    assert queue_name("vram24", "acestep-v15-turbo") == "gpu.vram24.acestep-v15-turbo"
    assert queue_name("vram4", "tiny", "worker_ab12") == "gpu.vram4.tiny.worker_ab12"


def test_celery_app_delivers_once_and_acknowledges_at_once() -> None:
    app = celery_app("redis://127.0.0.1:1/0", client_name="probe")
    conf = app.conf
    assert conf.task_acks_late is False
    assert conf.worker_disable_prefetch is True
    assert conf.worker_enable_remote_control is False
    assert conf.accept_content == ["json"]
    assert conf.result_backend == "disabled://"
    assert conf.broker_connection_max_retries is None
    assert conf.task_create_missing_queues is False
    app.close()


def test_transport_options_have_no_emulated_acknowledgement_and_one_priority() -> None:
    options = transport_options("probe")
    assert options["ack_emulation"] is False
    assert options["priority_steps"] == [0]
    assert options["client_name"] == "probe"
    assert options["socket_timeout"] > options["health_check_interval"]


def test_celery_apps_do_not_share_settings() -> None:
    first = celery_app("redis://127.0.0.1:1/0", client_name="one")
    second = celery_app("redis://127.0.0.1:2/0", client_name="two")
    first.conf.task_default_queue = "mine"
    assert second.conf.task_default_queue != "mine"
    assert first.conf.broker_transport_options["client_name"] == "one"
    first.close()
    second.close()
