"""Linear algebra in three dimensions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackfarm.matrix3 import (
    ZERO_MATRIX,
    Matrix3,
    Vector3,
    blend,
    cross,
    dot,
    inverse,
    outer,
    plus,
    quadratic,
    scaled,
    times,
)

UNIT: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_numbers = st.floats(-10, 10).map(lambda number: round(number, 3))
_vectors = st.tuples(_numbers, _numbers, _numbers)


def positive_definite(vectors: list[Vector3]) -> Matrix3:
    matrix = UNIT
    for vector in vectors:
        matrix = blend(matrix, 1.0, outer(vector))
    return matrix


@given(st.lists(_vectors, max_size=5), _vectors)
def test_inverse_undoes_a_positive_definite_matrix(vectors: list[Vector3], v: Vector3) -> None:
    matrix = positive_definite(vectors)
    assert times(inverse(matrix), times(matrix, v)) == pytest.approx(v, abs=1e-6)


@given(_vectors, _vectors)
def test_cross_is_orthogonal_to_both(a: Vector3, b: Vector3) -> None:
    assert dot(cross(a, b), a) == pytest.approx(0, abs=1e-9)
    assert dot(cross(a, b), b) == pytest.approx(0, abs=1e-9)


@given(_vectors, _vectors)
def test_outer_projects_onto_its_vector(a: Vector3, b: Vector3) -> None:
    assert times(outer(a), b) == pytest.approx(scaled(a, dot(a, b)), abs=1e-9)
    assert quadratic(outer(a), b) == pytest.approx(dot(a, b) ** 2, abs=1e-6)


def test_blend_adds_a_share() -> None:
    assert blend(UNIT, 0.5, ZERO_MATRIX)[1] == (0.0, 0.5, 0.0)
    assert plus((1, 2, 3), (4, 5, 6)) == (5, 7, 9)
    assert math.isclose(dot((1, 2, 3), (4, 5, 6)), 32)
