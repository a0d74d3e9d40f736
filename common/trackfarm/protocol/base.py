"""Base classes and field types of the messages, and the body of every error."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from trackfarm.text import clean, line

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z]+_[0-9a-z]{4,40}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
ShortText = Annotated[str, StringConstraints(max_length=200), AfterValidator(line)]
LongText = Annotated[str, StringConstraints(max_length=4000), AfterValidator(clean)]
# Bounds of the columns in PostgreSQL and SQLite.
Count = Annotated[int, Field(ge=0, lt=2**31)]
RowId = Annotated[int, Field(ge=0, lt=2**63)]


class RequestModel(BaseModel):
    """Message to the scheduler. Unknown fields are refused: the sender is untrusted or mistaken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AnswerModel(BaseModel):
    """Message from the scheduler. Unknown fields are ignored, so older clients can read it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ProblemDetails(AnswerModel):
    """Body of every error response (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, Any]] = Field(default_factory=list)
