"""Ray: the cluster of a job, its tasks and actors, distributed training, and what fails."""
