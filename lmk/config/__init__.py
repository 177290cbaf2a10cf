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
    AtRandom,
    AuditParams,
    AugmentationParams,
    ByFolder,
    ByGroup,
    ByList,
    DataParams,
    DownstreamParams,
    EvaluationParams,
    Iteration,
    Params,
    RefineParams,
    SplitParams,
    TrainingParams,
    ValidationParams,
)

__all__ = [
    "AlternationParams", "AnyHeatmapNetwork", "AnyNetwork", "AnyRefiner", "AtRandom", "AuditParams",
    "AugmentationParams", "ByFolder", "ByGroup", "ByList", "Count", "DataParams", "DownstreamParams",
    "EvaluationParams", "Extent", "Fraction", "HeatmapParams", "Iteration", "Name", "NetworkParams", "Params",
    "Rate", "RefineParams", "RefinerParams", "Section", "SplitParams", "TrainingParams", "ValidationParams",
    "default_profile", "known_profiles", "load_params", "parse_section", "profile_path",
]  # fmt: skip
