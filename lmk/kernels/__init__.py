"""Pure numerics: arrays in, arrays out; nothing here imports anything else of ours."""
