"""Worker pods that hold jobs are the last to go when their Deployment is made smaller."""
