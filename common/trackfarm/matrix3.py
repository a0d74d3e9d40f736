"""Linear algebra in three dimensions, so that the speed model does not need numpy."""

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

ZERO_VECTOR: Vector = (0.0, 0.0, 0.0)
ZERO_MATRIX: Matrix = (ZERO_VECTOR, ZERO_VECTOR, ZERO_VECTOR)


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def scaled(a: Vector, by: float) -> Vector:
    return (a[0] * by, a[1] * by, a[2] * by)


def plus(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def times(m: Matrix, v: Vector) -> Vector:
    return (dot(m[0], v), dot(m[1], v), dot(m[2], v))


def quadratic(m: Matrix, v: Vector) -> float:
    return dot(v, times(m, v))


def outer(v: Vector) -> Matrix:
    """Return `v` times its own transpose."""
    return (scaled(v, v[0]), scaled(v, v[1]), scaled(v, v[2]))


def blend(a: Matrix, share: float, b: Matrix) -> Matrix:
    """Return `share * a + b`."""
    return (
        plus(scaled(a[0], share), b[0]),
        plus(scaled(a[1], share), b[1]),
        plus(scaled(a[2], share), b[2]),
    )


def cross(a: Vector, b: Vector) -> Vector:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def inverse(m: Matrix) -> Matrix:
    """Return the inverse of a symmetric positive definite matrix."""
    first = cross(m[1], m[2])
    by = 1 / dot(m[0], first)
    return (scaled(first, by), scaled(cross(m[2], m[0]), by), scaled(cross(m[0], m[1]), by))
