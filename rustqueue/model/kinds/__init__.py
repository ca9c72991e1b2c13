"""The second system's words: kinds of jobs, its statuses, its job object, and what its routes ask (decisions B).

A kind is a queue; its jobs are the jobs of that queue under the second system's names, so this is another view of one
engine and no second one. It must not know HTTP nor how jobs are kept.
"""
