"""A certificate in words."""

from __future__ import annotations

from eennc.policy.certificate import Certificate


def statement(certificate: Certificate, weighted: bool) -> str:
    """What is guaranteed and what that assumes, or what is missing. `weighted`: samples have weights of their own."""
    return _granted(certificate, weighted) if certificate.certified else _missing(certificate)


def _granted(found: Certificate, weighted: bool) -> str:
    metric = "balanced accuracy" if found.metric == "balanced-accuracy" else "accuracy"
    population = "the population that the calibration samples come from"
    if found.unit == "group":
        population = "the population that the calibration groups come from, each group counting the same"
    loss = f"at most {_points(found.epsilon)} below the base network's on {population}"
    if found.delta is None:
        held = f"in expectation over calibration sets, {metric} is {loss}"
    else:
        held = (
            f"with a probability of at least {100 * (1 - found.delta):.4g} % over calibration sets, {metric} is {loss}"
        )
    things = "samples" if found.unit == "sample" else "groups (not the samples within one)"
    assumed = f"assumes that {things} are independent draws from what the network will meet"
    if found.metric == "balanced-accuracy":
        assumed += ", in each class that calibration has"
    if weighted:
        assumed += ", and that none weighs more than the heaviest of calibration"
    return f"{held}; {assumed}"


def _missing(found: Certificate) -> str:
    limit = f"a loss of at most {_points(found.epsilon)}"
    if found.needed is None and found.tested:
        return f"what can be certified under {limit} saves nothing: the network stays whole, and loses nothing"
    if found.needed is None:
        return f"no exits pay under a limit near {_points(found.epsilon)}: the network stays whole, and loses nothing"
    things = f"{found.unit}s"
    have = f"calibration has {found.ordering + found.certifying:,} {things}"
    each = " of each class" if found.metric == "balanced-accuracy" else ""
    text = f"too few {things} to certify {limit}: {have}; at least {found.needed.least:,}{each} are needed"
    text += " where none of them loses anything"
    if found.needed.estimate is not None:
        text += f", about {found.needed.estimate:,} in all at the losses seen"
    elif found.tested and found.method == "ltt":
        text += "; the losses seen with the most careful candidate are not clearly below the limit"
    return text


def _points(share: float) -> str:
    points = f"{100 * share:.4g}"
    return f"{points} point{'' if points == '1' else 's'}"
