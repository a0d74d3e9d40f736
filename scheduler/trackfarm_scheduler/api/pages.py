"""Pages for monitors and browsers: health, metrics, the API's own description."""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from trackfarm.protocol.accounts import Scope
from trackfarm_scheduler import metrics
from trackfarm_scheduler.api.auth import RequireScope
from trackfarm_scheduler.metrics import FarmCollector

DOCS, DESCRIPTION = "/api/docs", "/openapi.json"
_FILES = {  # of Swagger UI, with their media types
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
PATHS_WITH_OWN_POLICY = frozenset({DOCS, *(f"{DOCS}/{name}" for name in _FILES)})
_A_DAY = "private, max-age=86400"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def pages(app: FastAPI, collector: FarmCollector) -> APIRouter:
    """Build the routes; only `/healthz` needs no key.

    The description accepts a key as the password of HTTP Basic, for browsers. No other route does,
    because browsers send such passwords without being asked.
    """
    router = APIRouter(include_in_schema=False)
    in_a_browser = [Depends(RequireScope(Scope.READ, browser=True))]
    docs = _docs_page(app.title)

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/metrics", dependencies=[Depends(RequireScope(Scope.READ))])
    def metrics_text() -> Response:
        return Response(metrics.exposition(collector), media_type=CONTENT_TYPE_LATEST)

    @router.get(DESCRIPTION, dependencies=in_a_browser)
    def description() -> Response:
        return JSONResponse(app.openapi())

    @router.get(DOCS, dependencies=in_a_browser)
    async def docs_page() -> Response:
        return docs

    for name, media_type in _FILES.items():
        _add_file(router, name, media_type)
    return router


def _add_file(router: APIRouter, name: str, media_type: str) -> None:
    content = (files("fastapi_offline") / "static" / name).read_bytes()
    headers = {"Cache-Control": _A_DAY, "Content-Security-Policy": "default-src 'none'"}

    @router.get(f"{DOCS}/{name}", dependencies=[Depends(RequireScope(Scope.READ, browser=True))])
    async def part_of_the_docs() -> Response:
        return Response(content, media_type=media_type, headers=headers)


def _docs_page(title: str) -> HTMLResponse:
    script, style, icon = (f"{DOCS}/{name}" for name in _FILES)
    page = get_swagger_ui_html(
        openapi_url=DESCRIPTION,
        title=title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
        swagger_ui_parameters={"validatorUrl": None},  # otherwise it sends the page to swagger.io
    )
    page.headers["Content-Security-Policy"] = content_policy(bytes(page.body).decode())
    page.headers["Cache-Control"] = "no-store"
    return page


def content_policy(html: str) -> str:
    """Return a policy that allows only local resources and the page's own script, by digest."""
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()) for s in _INLINE.findall(html)]
    scripts = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self';"
        " img-src 'self' data:; connect-src 'self';"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
