"""The engine `vllm`: vLLM in this process, or as a server that `vg` starts and supervises."""
