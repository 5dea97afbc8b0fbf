"""Fine-tune and evaluate: metrics, losses, a Trainer with exact resume, the script of ``so2sat train``."""
