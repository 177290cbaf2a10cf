"""Parameters: one YAML file, typed; `sections` says what is in it, `loading` reads it."""

from lmk.config.base import (
    AnyHeatmapNetwork,
    AnyNetwork,
    AnyRefiner,
    Count,
    Extent,
    Fraction,
    HeatmapParams,
    Name,
    NetworkParams,
    Rate,
    RefinerParams,
    Section,
)
from lmk.config.loading import default_profile, known_profiles, load_params, parse_section, profile_path
from lmk.config.sections import (
    AlternationParams,
    AuditParams,
    AugmentationParams,
    DataParams,
    DownstreamParams,
    EvaluationParams,
    Iteration,
    Params,
    RefineParams,
    TrainingParams,
    ValidationParams,
)

__all__ = [
    "AlternationParams", "AnyHeatmapNetwork", "AnyNetwork", "AnyRefiner", "AuditParams", "AugmentationParams", "Count",
    "DataParams", "DownstreamParams", "EvaluationParams", "Extent", "Fraction", "HeatmapParams", "Iteration",
    "Name", "NetworkParams", "Params", "Rate", "RefineParams", "RefinerParams", "Section", "TrainingParams",
    "ValidationParams", "default_profile", "known_profiles", "load_params", "parse_section", "profile_path",
]  # fmt: skip
