"""What to do about data, as code. `{x}` is the tensor, `{x}_train` its rows of the training set: [samples, columns].

Statistics are those of the training set only, taken before anything is filled in, and ignore NaN. A column without any
value has no statistic: its mean, median and mode are NaN again, so it is filled with 0 (or left out).
"""

from __future__ import annotations

IMPUTE = """\
fill = torch.nanmean({x}_train, dim=0)                 # of the training set, NaN left out
# fill = torch.nanmedian({x}_train, dim=0).values      # skewed columns: the median
# fill = {x}_train.nan_to_num(0.0).mode(dim=0).values  # codes and categories: the most frequent
fill = torch.nan_to_num(fill)                          # a column without any value
{x} = torch.where(torch.isnan({x}), fill, {x})"""

MEDIAN = """\
fill = torch.nan_to_num(torch.nanmedian({x}_train, dim=0).values)  # of the training set, NaN left out
{x} = torch.where(torch.isnan({x}), fill, {x})"""

DROP_NAN = """\
keep = ~torch.isnan({x}).reshape(len({x}), -1).any(dim=1)  # the other way: without the rows
{x} = {x}[keep]                                            # and the targets with them"""

DROP = """\
keep = torch.isfinite({x}).reshape(len({x}), -1).all(dim=1)
{x} = {x}[keep]                                   # and the targets with it"""

EMPTY_COLUMN = """\
keep = ~torch.isnan({x}_train).all(dim=0)         # columns with a value in the training set
{x} = {x}[:, keep]"""

STANDARDISE = """\
mean, std = {x}_train.mean(dim=0), {x}_train.std(dim=0)   # of the training set only
{x} = ({x} - mean) / std.clamp(min=1e-6)                   # a constant column becomes 0"""

WINSORISE = """\
low, high = torch.quantile({x}_train, torch.tensor([0.001, 0.999], dtype={x}_train.dtype), dim=0)
{x} = {x}.clamp(low, high)                        # of the training set only"""

MISSING = """\
{x} = {x}.masked_fill({x} == {value}, float("nan"))   # a code for "missing", not a value; then impute:
fill = torch.nan_to_num(torch.nanmedian({x}_train.masked_fill({x}_train == {value}, float("nan")), dim=0).values)
{x} = torch.where(torch.isnan({x}), fill, {x})"""

FLAG = """\
missing = ({x} == {value}).to({x}.dtype)              # say where a value was filled in
{x} = torch.cat([{x}, missing], dim=1)"""

LOGARITHM = "{x} = torch.log1p({x}.clamp(min=0)).float()   # or another unit"

NORMALISE = "{x} = torch.nn.functional.normalize({x}, dim=-1, eps=1e-6)   # not {x} / {x}.norm()"

DISTANCE = """\
difference = {x}[:, None] - {x}[None, :]
distance = (difference.pow(2).sum(dim=-1) + 1e-12).sqrt()   # the gradient of a root at 0 is infinite"""

AT_LEAST_ONE = "{x} = {x}.clamp(min=1)"

WITHOUT_CONSTANTS = """\
keep = {x}_train.std(dim=0) > 0
{x} = {x}[:, keep]                                # or divide by std.clamp(min=1e-6)"""


def of(template: str, name: str, value: float | None = None) -> str:
    """The code for a tensor; `x` where only a place in the batch is known, and not the user's name for it."""
    filled = template.replace("{x}", name if name.isidentifier() else "x")
    return filled.replace("{value}", f"{value:g}") if value is not None else filled
