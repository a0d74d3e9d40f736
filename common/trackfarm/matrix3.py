"""Linear algebra in three dimensions, so that the speed model does not need numpy."""

Vector3 = tuple[float, float, float]
Matrix3 = tuple[Vector3, Vector3, Vector3]

ZERO_VECTOR: Vector3 = (0.0, 0.0, 0.0)
ZERO_MATRIX: Matrix3 = (ZERO_VECTOR, ZERO_VECTOR, ZERO_VECTOR)


def dot(a: Vector3, b: Vector3) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def scaled(a: Vector3, by: float) -> Vector3:
    return (a[0] * by, a[1] * by, a[2] * by)


def plus(a: Vector3, b: Vector3) -> Vector3:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def times(m: Matrix3, v: Vector3) -> Vector3:
    return (dot(m[0], v), dot(m[1], v), dot(m[2], v))


def quadratic(m: Matrix3, v: Vector3) -> float:
    return dot(v, times(m, v))


def outer(v: Vector3) -> Matrix3:
    """Return `v` times its own transpose."""
    return (scaled(v, v[0]), scaled(v, v[1]), scaled(v, v[2]))


def blend(a: Matrix3, share: float, b: Matrix3) -> Matrix3:
    """Return `share * a + b`."""
    return (
        plus(scaled(a[0], share), b[0]),
        plus(scaled(a[1], share), b[1]),
        plus(scaled(a[2], share), b[2]),
    )


def cross(a: Vector3, b: Vector3) -> Vector3:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def inverse(m: Matrix3) -> Matrix3:
    """Return the inverse of a symmetric positive definite matrix."""
    first = cross(m[1], m[2])
    by = 1 / dot(m[0], first)
    return (scaled(first, by), scaled(cross(m[2], m[0]), by), scaled(cross(m[0], m[1]), by))
