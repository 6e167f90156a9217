"""Trains with OpenRLHF: GRPO, RLOO, REINFORCE++ and DAPO on the frames of videos, over Ray, DeepSpeed and vLLM."""
