"""CustomResourceDefinitions out of the types in `kinds`: `python -m rustqueue_operator crds FOLDER` writes them."""
