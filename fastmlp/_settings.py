"""What immutable settings share. A dataclass would write these methods anew for two dozen classes, at import."""


class Settings:
    """The base of frozen dataclasses: equal to another of its class with equal values, and shown as a call."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"

    def __eq__(self, other: object) -> bool:
        return bool(vars(self) == vars(other)) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))
