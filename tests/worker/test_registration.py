"""Trust in the certificate authority that came with the rental."""

from pathlib import Path

from tests.servers.tls import certificates
from trackfarm.net.tls import pack_ca
from trackfarm_worker.registration import with_authority_file
from trackfarm_worker.settings import WorkerSettings


def settings(folder: Path, **told: object) -> WorkerSettings:
    given = {"join_token": "t", "data_dir": folder / "data", **told}
    return WorkerSettings.model_validate(given)


def test_it_is_a_file_like_any_that_is_named(tmp_path: Path) -> None:
    authority = certificates(tmp_path / "certificates").authority
    told = pack_ca(authority, setting="")
    found = with_authority_file(settings(tmp_path), told).ca_file
    assert found is not None
    assert found.read_text() == authority.read_text()
    assert with_authority_file(settings(tmp_path), {}).ca_file is None
    named = settings(tmp_path, ca_file=tmp_path / "of.ours")
    assert with_authority_file(named, told).ca_file == tmp_path / "of.ours"
