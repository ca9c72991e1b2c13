"""Making schedules run: which ticks are due (`plan`), and proposing them in time (`duty`)."""
