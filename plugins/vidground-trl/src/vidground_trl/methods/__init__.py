"""Methods of post-training as options of one GRPO trainer: a module each, stating formula and source; `catalogue` lists them.

Modules here hold formulas on plain lists or tensors and import no model library before they are used.
"""
