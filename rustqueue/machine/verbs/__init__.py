"""One module a family of verbs: what each command does to rows and memory. Checks come first, writes after them."""
