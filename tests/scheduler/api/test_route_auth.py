"""Authentication that the routes declare."""

from fastapi import FastAPI

from tests.scheduler.api_fixture import ApiFixture, Switch
from trackfarm.protocol.accounts import (
    Scope,
)
from trackfarm_scheduler.api.route_auth import AuthKind, route_auths


def test_routes_all_declare_their_authentication(
    api: ApiFixture, served: tuple[Switch, str]
) -> None:
    app = served[0].app
    assert isinstance(app, FastAPI)
    doors = list(route_auths(app))
    assert len(doors) > 25
    assert [d for d in doors if d.kind is None] == []
    assert {d.path for d in doors if d.kind is AuthKind.NOTHING} == {"/health", "/healthz"}
    assert all(d.scope for d in doors if d.kind is AuthKind.KEY)
    changing = {d.scope for d in doors if d.method != "GET" and d.scope}
    assert changing == {Scope.SUBMIT, Scope.OPERATE, Scope.ADMIN, Scope.READ}
    looking = {d.path for d in doors if d.method == "POST" and d.scope is Scope.READ}
    asking = {"/query_result", "/format_input", "/create_random_sample"}
    assert looking == {"/api/v1/plans", *asking}, "which store nothing"
