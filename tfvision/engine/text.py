"""Numbers in lines for people."""


def or_dash(value: float | None) -> str:
    """Four decimals; `-` where there is no value."""
    return "-" if value is None else f"{value:.4f}"


def or_none(value: float | None) -> str:
    """Four decimals; `none` where there is no value."""
    return "none" if value is None else f"{value:.4f}"
