"""Parts of pages that commands write, between comments that name them."""


def replace_part(path, name, text):
    """What stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->` becomes `text`."""
    with open(path) as file:
        page = file.read()
    before, begin, rest = page.partition(f"<!-- {name}: begin -->\n")
    _, end, after = rest.partition(f"<!-- {name}: end -->")
    if not begin or not end:
        raise ValueError(f"{path} has no part `{name}`")
    with open(path, "w") as file:
        file.write(f"{before}{begin}{text}\n{end}{after}")
